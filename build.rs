//! Lets the linker accept Node's symbols; only the addon needs it.

fn main() {
    // Else any file that changes, this project's README say, would have the whole crate built again.
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "node")]
    napi_build::setup();
}
