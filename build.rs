//! Lets the linker accept Node's symbols; only the addon needs it.

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
