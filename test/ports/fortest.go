package ports

// T is what ForTest needs of a *testing.T.
type T interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
}

// ForTest is Hold(n) until the test ends.
func ForTest(t T, n int) *Held {
	t.Helper()
	h, err := Hold(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}
