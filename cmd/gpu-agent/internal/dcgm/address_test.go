package dcgm

import (
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"embedded":                     "DCGM in this process",
		"tcp://dcgm.gpu-operator:5555": "the DCGM host engine at tcp://dcgm.gpu-operator:5555",
		"tcp://[::1]:5555":             "the DCGM host engine at tcp://[::1]:5555",
		"unix:///run/nvidia/dcgm.sock": "the DCGM host engine at unix:///run/nvidia/dcgm.sock",
		"":                             "",
		"localhost:5555":               "",
		"tcp://localhost":              "",
		"tcp://:5555":                  "",
		"tcp://localhost:5555/x":       "",
		"unix://relative":              "",
		"unix:///":                     "",
		"vsock://3:5555":               "",
	} {
		a, err := ParseAddress(text)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "allowed is embedded, tcp://host:port") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err != nil || a.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, a, err, want)
		}
	}
}
