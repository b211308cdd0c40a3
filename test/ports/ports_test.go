package ports

import (
	"net"
	"runtime"
	"testing"
)

// A port that is held is for the server that was given its number, also a second time, and for nobody else.
func TestHeldPortsAreForTheirServersOnly(t *testing.T) {
	const n = 200
	h, err := Hold(n)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	held := map[int]bool{}
	for _, port := range h.Numbers {
		held[port] = true
	}
	if len(held) != n {
		t.Fatalf("%d different ports, want %d", len(held), n)
	}
	for range 2 { // a server that comes again
		server, err := net.Listen("tcp", h.Address(0))
		if err != nil {
			t.Fatalf("the server that the port is for: %v", err)
		}
		conn, err := net.Dial("tcp", h.Address(0))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		server.Close()
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux keeps ports from others")
	}
	var others []net.Listener
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, l)
		if port := l.Addr().(*net.TCPAddr).Port; held[port] {
			t.Errorf("port %d is held, and somebody else got it", port)
		}
	}
	for _, l := range others {
		l.Close()
	}
}

func TestClosedPortsAreFree(t *testing.T) {
	h, err := Hold(1)
	if err != nil {
		t.Fatal(err)
	}
	address := h.Address(0)
	h.Close()
	h.Close() // again does nothing
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
