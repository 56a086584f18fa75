import anomaly = require('audit-anomaly')

export const health: anomaly.Health = anomaly.health()
