package rbgfake

import (
	"strconv"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestInstallAgain(t *testing.T) {
	cp := controlplane.ForTest(t)
	if err := Install(t.Context(), cp.Config); err != nil {
		t.Errorf("install over what is there: %v", err)
	}
	for _, name := range []string{"rbg", "rbgsa", "ris", "rins"} {
		if _, err := cp.Kubectl(t.Context(), "get", name, "-A"); err != nil {
			t.Error(err)
		}
	}
}
