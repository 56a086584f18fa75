/** The tests of the examples, which need more packages than the product's own; `npm run test:examples` runs them. */
module.exports = {
  testMatch: ['<rootDir>/test/*.test.js'],
  testTimeout: 120000,
  // A failed test leaves servers and clients open, which must not keep it from ending.
  forceExit: true,
  setupFiles: ['<rootDir>/test/environment.js'],
}
