package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo puts a go command first on the PATH that writes its arguments to the returned file and then does what script says.
func fakeGo(t *testing.T, script string) (called string) {
	t.Helper()
	dir := t.TempDir()
	called = filepath.Join(dir, "called")
	text := "#!/bin/sh\necho \"$@\" >>'" + called + "'\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return called
}

func TestEnvtestDownload(t *testing.T) {
	api := []Component{Etcd, APIServer}
	for _, tc := range []struct {
		name       string
		allowed    string
		components []Component
		script     string // of the go command; STORE is a directory with etcd, kube-apiserver and kubectl
		asked      bool
		want       string // "store" or ""
		says       string
	}{
		{"not allowed", "", api, "echo STORE", false, "", ""},
		{"more than it offers", "1", AllComponents, "echo STORE", false, "", ""},
		{"an API", "1", api, "echo STORE", true, "store", ""},
		{"out of reach", "1", api, "echo a proxy says no >&2; exit 2", true, "", "a proxy says no"},
		{"half a download", "1", api, "echo /nowhere", true, "", "/nowhere has no etcd, kube-apiserver"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := fakeBinaries(t, filepath.Join(t.TempDir(), "store"), envtestComponents...)
			called := fakeGo(t, strings.ReplaceAll(tc.script, "STORE", store))
			t.Setenv(EnvtestDownload, tc.allowed)
			var said strings.Builder
			b := &builder{moduleDir: t.TempDir(), progress: NewProgress(&said)}
			want := ""
			if tc.want == "store" {
				want = store
			}
			if got := b.downloadEnvtest(t.Context(), tc.components); got != want {
				t.Errorf("downloaded to %q, want %q; it said %s", got, want, said.String())
			}
			args, err := os.ReadFile(called)
			if asked := err == nil && strings.Contains(string(args), "setup-envtest use"); asked != tc.asked {
				t.Errorf("setup-envtest asked: %t (%s), want %t", asked, args, tc.asked)
			}
			if !strings.Contains(said.String(), tc.says) {
				t.Errorf("it said %q, want %q in it", said.String(), tc.says)
			}
		})
	}
}
