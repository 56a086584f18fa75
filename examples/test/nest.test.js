require('reflect-metadata')
const { Inject, Injectable, Module } = require('@nestjs/common')
const { NestFactory } = require('@nestjs/core')
const { AnomalyModule, AnomalyService } = require('../nest.js')

/** A part of a backend that writes audit lines. */
class Orders {
  constructor(anomaly) {
    this.anomaly = anomaly
  }

  reject(id) {
    return this.anomaly.analyzeLog({ log_id: id, log_text: `Order ${id} rejected by manager` })
  }
}
Injectable()(Orders)
Inject(AnomalyService)(Orders, undefined, 0)

class AppModule {}
Module({ imports: [AnomalyModule], providers: [Orders] })(AppModule)

test('the provider is injected, with the model loaded', async () => {
  const application = await NestFactory.createApplicationContext(AppModule, { logger: false })
  const service = application.get(AnomalyService)
  const { records } = service.stats()
  expect(service.health()).toMatchObject({ status: 'healthy', model_name: 'audit-anomaly-small' })
  expect(await application.get(Orders).reject(50232)).toMatchObject({ log_id: 50232, is_anomaly: true })
  expect(await service.analyzeBatch([{ log_id: 'x', log_text: 'Order approved' }], { threshold: 0 })).toMatchObject([
    { log_id: 'x', is_anomaly: true },
  ])
  const ids = []
  for await (const { log_id } of service.analyzeStream([{ log_id: 1n, log_text: 'Order approved' }])) ids.push(log_id)
  expect(ids).toEqual([1n])
  expect(service.stats().records - records).toBe(3)
  await application.close()
})
