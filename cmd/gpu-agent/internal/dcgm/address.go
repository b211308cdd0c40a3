package dcgm

import (
	"fmt"
	"net"
	"strings"
)

// Embedded is the address of an engine in this process.
const Embedded = "embedded"

// Address says where DCGM is.
type Address struct {
	// target is what the library connects to, empty for an engine in this process.
	target string
	// socket says that target is the path of a unix socket.
	socket bool
}

// ParseAddress reads "embedded", "tcp://host:port" or "unix:///path".
func ParseAddress(text string) (Address, error) {
	if text == Embedded {
		return Address{}, nil
	}
	if rest, ok := strings.CutPrefix(text, "tcp://"); ok {
		if host, port, err := net.SplitHostPort(rest); err == nil && host != "" && port != "" && !strings.ContainsAny(rest, "/ ") {
			return Address{target: rest}, nil
		}
	}
	if rest, ok := strings.CutPrefix(text, "unix://"); ok && strings.HasPrefix(rest, "/") && len(rest) > 1 {
		return Address{target: rest, socket: true}, nil
	}
	return Address{}, fmt.Errorf("the address of DCGM is %q: allowed is %s, tcp://host:port (nv-hostengine listens at 5555) or unix:///path/of/socket", text, Embedded)
}

func (a Address) embedded() bool { return a.target == "" }

// socketFlag is how the library is told what kind of address it is given.
func (a Address) socketFlag() string {
	if a.socket {
		return "1"
	}
	return "0"
}

func (a Address) String() string {
	switch {
	case a.embedded():
		return "DCGM in this process"
	case a.socket:
		return "the DCGM host engine at unix://" + a.target
	}
	return "the DCGM host engine at tcp://" + a.target
}
