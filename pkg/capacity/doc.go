// Package capacity says what a number of replicas can do.
package capacity
