// Package signals reads what a service's own metrics say: the frontend, the
// prefill and decode engines, the prefill queue and the GPU exporter.
package signals
