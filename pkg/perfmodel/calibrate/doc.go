// Package calibrate corrects a replica's coefficients by what its service shows: single steps, single prefills, KV
// transfers, and aggregates over an interval.
//
// It knows perfmodel's step formulas and their spread. It must never know how the readings were gathered, how many
// replicas there are, Kubernetes, or what time it is.
//
// # Formulas
//
// A phase has coefficients theta = prior * x, x their ratios to the prior, which start at 1 with the covariance V0 that the
// spread of the roofline's priors leaves. A step's time T is homogeneous in its coefficients, so with J_i =
// (dT/dtheta_i)*prior_i/T, which sum with x to 1, a time y is to first order
//
//	1 + ln(y/T) = J*x + noise, noise of standard deviation s                            derived; relative noise
//
// which is linear in x. Weighted by Huber's w = min(1, c/|z|), z = ln(y/T) over its predicted standard deviation, it is
// Bayesian linear regression in information form (textbook), with forgetting towards the prior:
//
//	V^-1   <- f*V^-1 + (1-f)*V0^-1 + sum w*J*J'/s^2
//	V^-1*x <- f*V^-1*x + (1-f)*V0^-1*1 + sum w*J*(1+ln(y/T))/s^2
//
// One after the other (Calibration) each call of Observe forgets once and linearises once. A batch (Fit) forgets nothing and
// linearises until x stands still, with s from the residuals (1.4826 * their median absolute value). Rows of like
// work (within a factor of 2 in each dimension) together count as 16 at most: repetition teaches the noise, not the shape.
//
// x is held within the bounds of the belief: no coefficient is negative, none leaves what physics would explain.
//
// # While the service runs
//
// A Learner takes, per role, one Interval between two readings of the replicas' counters (interval.go) and returns the next
// state (Online), a pure function with no clock. From Little's law and the counters, with R replicas over a time t,
//
//	sequences at once on a replica  B = gap seconds/(t*R)             derived; the gauge is of two moments only
//	mean step                       T = gap seconds/gaps              textbook, weighted by sequences as TPOT is
//	context of a sequence           the lesser of KV held/running and in + out/2*(1+SCV); science's output-weighted context
//	prefill                         the sum of the times of prompts spread as a lognormal of their mean and SCV
//
// Intervals that cannot be of steps alone are refused with a reason (Refusal) and teach nothing. Each coefficient stays
// within LeastRatio and MostRatio of its prior besides the bounds of physics: a step's time is homogeneous in the
// coefficients and falls with none, so every step stays within them too. Five surprises in a row on one side make what
// was learnt a guess as unsure as the prior. What is in use (InUse) changes only when a step's time has moved by more
// than its standard deviation and by more than 2 %. Pack writes a state in some 500 bytes.
//
// The prior is not decoration: on short prompts alone the slope and the square of prefill cannot be told apart, and
// plain least squares predicts long prompts several times too slow.
package calibrate
