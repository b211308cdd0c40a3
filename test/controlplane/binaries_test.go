package controlplane

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOptionsComponents(t *testing.T) {
	for name, tc := range map[string]struct {
		given, want []Component
		wantErr     string
	}{
		"all by default":         {want: AllComponents},
		"servers come with any":  {given: []Component{Kwok}, want: []Component{Etcd, APIServer, Kwok}},
		"each once and in order": {given: []Component{Kubectl, APIServer, Kubectl}, want: []Component{Etcd, APIServer, Kubectl}},
		"unknown":                {given: []Component{"kubelet"}, wantErr: `"kubelet": want one of etcd, kube-apiserver`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Options{Components: tc.given}.components()
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("components (-want +got):\n%s", diff)
			}
		})
	}
}

// fakeBinaries makes a directory of executables that are never run.
func fakeBinaries(t *testing.T, dir string, components ...Component) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range components {
		if err := os.WriteFile(filepath.Join(dir, string(c)), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBinariesOrder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("XDG_DATA_HOME", filepath.Join(home, "data"))
	t.Setenv("KUBEBUILDER_ASSETS", "")
	b, err := newBuilder(nil)
	if err != nil {
		t.Fatal(err)
	}
	find := func(want string, components ...Component) {
		t.Helper()
		got, err := Binaries(t.Context(), nil, components...)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("Binaries(%s) = %s, want %s", joinComponents(components), got, want)
		}
	}
	few := []Component{Etcd, APIServer, Kubectl}
	suffix := "-" + runtime.GOOS + "-" + runtime.GOARCH
	store := filepath.Join(home, "data", "kubebuilder-envtest", "k8s")
	fakeBinaries(t, filepath.Join(store, "1.9.1"+suffix), few...)
	newest := fakeBinaries(t, filepath.Join(store, "1.33.0"+suffix), few...)
	find(newest, few...)

	fakeBinaries(t, b.outDir, AllComponents...)
	find(b.outDir, few...)
	find(b.outDir)

	assets := fakeBinaries(t, filepath.Join(home, "assets"), few...)
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	find(assets, few...)
	find(b.outDir) // the assets have no kwok
}

func TestBinariesSayWhatIsMissing(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", fakeBinaries(t, t.TempDir(), Etcd))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	var said strings.Builder
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it would build
	if _, err := Binaries(ctx, NewProgress(&said), Etcd, APIServer); err == nil {
		t.Error("no error, although there are no binaries and no time to build them")
	}
	if want := "is not used: it has no kube-apiserver"; !strings.Contains(said.String(), want) {
		t.Errorf("progress %q, want it to say %q", said.String(), want)
	}
}

func TestBuildFlagsTakeTheVersionOfGoMod(t *testing.T) {
	flags, err := buildFlags([]byte("require (\n\tk8s.io/kubectl v0.0.0\n\tk8s.io/kubernetes v1.40.7\n)"))
	if err != nil {
		t.Fatal(err)
	}
	ld := flags[len(flags)-1]
	for _, want := range []string{
		"-X k8s.io/component-base/version.gitVersion=v1.40.7", "-X k8s.io/component-base/version.gitMinor=40",
		"-X k8s.io/client-go/pkg/version.gitVersion=v1.40.7", "-X k8s.io/client-go/pkg/version.gitMajor=1",
	} {
		if !strings.Contains(ld, want) {
			t.Errorf("linker flags %q, want %q in them", ld, want)
		}
	}
	if _, err := buildFlags([]byte("module m")); err == nil {
		t.Error("no error for a go.mod without Kubernetes")
	}
}

func TestSourceHashSeesEveryFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{}
	check := func(what string, flags ...string) {
		t.Helper()
		key, err := sourceHash(dir, flags)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key", what, other)
		}
		seen[key] = what
	}
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		write(name, "a")
	}
	check("the start", "-s")
	check("other flags", "-w")
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		write(name, "b")
		check("another "+name, "-s")
	}
}

// tinyBuilder builds a program without dependencies, so that the machinery can be tested within a second.
func tinyBuilder(t *testing.T, mainGo string, progress *Progress) *builder {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module tiny\n\ngo 1.26\n", "main.go": mainGo} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &builder{moduleDir: dir, outDir: filepath.Join(t.TempDir(), "out"), progress: progress}
}

func TestBuildRunsOnceForAll(t *testing.T) {
	var said syncBuffer
	b := tinyBuilder(t, "package main\n\nfunc main() {}\n", NewProgress(&said))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := b.build(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if missing := missingIn(b.outDir, AllComponents); len(missing) > 0 {
		t.Errorf("the build left out %s", joinComponents(missing))
	}
	if n := strings.Count(said.String(), "built the control plane"); n != 1 {
		t.Errorf("%d builds, want 1; progress:\n%s", n, said.String())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(b.outDir), "building-*")); len(left) > 0 {
		t.Errorf("the build left %q behind", left)
	}
}

func TestBuildErrorHoldsTheCompilersWords(t *testing.T) {
	b := tinyBuilder(t, "package main\n\nfunc main() { undefined_thing() }\n", nil)
	err := b.build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined_thing") {
		t.Errorf("error %v, want the compiler's", err)
	}
	if fileExists(b.outDir) {
		t.Error("a failed build left an output")
	}
}

// syncBuffer is a strings.Builder for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
