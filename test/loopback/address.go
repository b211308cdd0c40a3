package loopback

import (
	"fmt"
	"net"
	"os"
	"sync"
)

// Host is the IP address of this process.
func Host() string {
	id := os.Getpid()
	return fmt.Sprintf("127.246.%d.%d", id>>8&0xff, id&0xff)
}

var given = struct {
	mu    sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// T is what Port and Address need of a test.
type T interface {
	Helper()
	Fatal(args ...any)
}

// Port is a TCP port of Host that nobody listens at and that was not given before.
func Port(t T) int {
	t.Helper()
	given.mu.Lock()
	defer given.mu.Unlock()
	for {
		l, err := net.Listen("tcp", net.JoinHostPort(Host(), "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if !given.ports[port] {
			given.ports[port] = true
			return port
		}
	}
}

// Address is Host with such a port.
func Address(t T) string {
	t.Helper()
	return fmt.Sprintf("%s:%d", Host(), Port(t))
}
