// Package perfmodel says what one replica can do.
package perfmodel
