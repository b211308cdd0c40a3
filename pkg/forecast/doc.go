// Package forecast says how much demand is expected ahead.
package forecast
