// Package forecast says how much demand to expect when a replica that is asked
// for now would be ready.
//
// It knows a series of readings and a horizon; it knows nothing of roles,
// replicas or the clock. There are several ways of looking ahead: the last value,
// means over some horizons, the last value carried on along the trend of some
// horizons, the trend line itself. None is best everywhere: on traffic without a
// trend a trend is worse than the last value and the last value worse than a mean;
// on a ramp a mean is late by a start-up, and so are the replicas. So each way is
// tried on the past that is remembered, at every sample, against what came one
// horizon later; the forecast is their mean, weighed by the squared error to the
// power of -4. Trends are damped (after Gardner and McKenzie 1985).
//
// What no way sees coming is learnt as well: by how much the demand of each past
// horizon rose above what had been expected at its beginning (Risen). A rise counts
// for what it needs, which is the constant rate that would have served it without
// a longer wait than the objective forgives (Sustained), and beyond a twentieth,
// which is noise. What nine in ten horizons did not exceed (Surge) is the room to
// hold: a quantile of what demand did, not a multiple of the forecast's error,
// which is small before a jump and large after it.
//
// Measured, with rates over 60 s (azure_test.go, swing_test.go):
//
//   - Azure LLM inference trace 2023 (conversation), every 10 s, 110 s ahead: the
//     mean error is 0.63 requests/s (the last value: 0.61), the mean shortfall of
//     the larger of both, which is what a planner uses, 0.21 (the last value: 0.29).
//   - A swing between 2 and 12 requests/s in half an hour, Poisson arrivals, every
//     15 s, 120 s ahead: mean error 16 % of the demand (the last value: 24 %), mean
//     shortfall 7 % (12 %).
package forecast
