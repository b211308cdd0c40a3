package ports

import (
	"fmt"
	"net"
	"strconv"
)

// Held are ports that are kept until Close, or until this process ends.
type Held struct {
	// Numbers are the ports, all different.
	Numbers []int

	release []func()
}

// Hold takes n ports that nobody has.
func Hold(n int) (*Held, error) {
	h := &Held{}
	for range n {
		port, release, err := hold()
		if err != nil {
			h.Close()
			return nil, fmt.Errorf("take a port of 127.0.0.1: %w", err)
		}
		h.Numbers, h.release = append(h.Numbers, port), append(h.release, release)
	}
	return h, nil
}

// Address is the nth port as HOST:PORT.
func (h *Held) Address(n int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Numbers[n]))
}

// Close lets the ports go. Servers that have bound them keep them.
func (h *Held) Close() {
	for _, release := range h.release {
		release()
	}
	h.release = nil
}
