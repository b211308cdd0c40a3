package main

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
)

// quietLog keeps the handshakes that fail on purpose out of the test's output.
var quietLog = log.New(io.Discard, "", 0)

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
