/** What `npm publish` runs in a checkout, whose package.json is not that of the published package. */

console.error('audit-anomaly: the packages are published from what `npm run release:pack` writes; see CONTRIBUTING.md')
process.exitCode = 1
