package loopback_test

import (
	"net"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/test/loopback"
)

func TestAddressesAreFreeAndGivenOnce(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		address := loopback.Address(t)
		if seen[address] {
			t.Fatalf("%s was given twice", address)
		}
		seen[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if host, _, _ := net.SplitHostPort(l.Addr().String()); host != loopback.Host() || !net.ParseIP(host).IsLoopback() {
			t.Errorf("listens at %s", l.Addr())
		}
	}
}
