/**
 * NestJS provider: `AnomalyService`, to be injected wherever audit lines are written. The application starts once the
 * model is loaded, and does not start with a setting or a model that cannot be used.
 *
 * In TypeScript the two calls of decorators at the end of each class are `@Injectable()` and `@Module(...)` before it.
 *
 *     node nest.js
 */

require('reflect-metadata')
const { Injectable, Logger, Module } = require('@nestjs/common')
const { analyzeBatch, analyzeLog, analyzeStream, health, load, stats } = require('audit-anomaly')

class AnomalyService {
  logger = new Logger('AnomalyService')

  /** Called by Nest while it starts. */
  async onModuleInit() {
    const { model_name, threshold } = await load()
    this.logger.log(`scoring with ${model_name}, threshold ${threshold}`)
  }

  /** @param {import('audit-anomaly').LogRecord} record @param {import('audit-anomaly').AnalyzeOptions} [options] */
  analyzeLog(record, options) {
    return analyzeLog(record, options)
  }

  /** @param {import('audit-anomaly').LogRecord[]} records @param {import('audit-anomaly').AnalyzeOptions} [options] */
  analyzeBatch(records, options) {
    return analyzeBatch(records, options)
  }

  /** @param {import('audit-anomaly').RecordSource} source @param {import('audit-anomaly').AnalyzeOptions} [options] */
  analyzeStream(source, options) {
    return analyzeStream(source, options)
  }

  /** For a health check. */
  health() {
    return health()
  }

  /** For monitoring. */
  stats() {
    return stats()
  }
}
Injectable()(AnomalyService)

class AnomalyModule {}
Module({ providers: [AnomalyService], exports: [AnomalyService] })(AnomalyModule)

module.exports = { AnomalyModule, AnomalyService }

if (require.main === module) {
  const { NestFactory } = require('@nestjs/core')
  NestFactory.createApplicationContext(AnomalyModule).then(async (application) => {
    const service = application.get(AnomalyService)
    console.log(await service.analyzeLog({ log_id: 1, log_text: 'Failed login attempt' }))
    await application.close()
  })
}
