package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// A builder makes the control plane's binary from the module test/tools/kube, once for each content of that module.
type builder struct {
	moduleDir string   // the module to build
	outDir    string   // where the binary and one symlink for each component end up
	flags     []string // of go build
	progress  *Progress
}

// kubeVersion finds the Kubernetes release that a go.mod asks for.
var kubeVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)`)

// buildFlags are part of the Go build cache's key: two builds share their objects only where these and CGO_ENABLED are equal.
// Without debug information the build is a sixth faster and its cache is smaller. The version is stamped because kubectl and
// Helm read it from the API server.
func buildFlags(goMod []byte) ([]string, error) {
	m := kubeVersion.FindSubmatch(goMod)
	if m == nil {
		return nil, errors.New("go.mod names no version of k8s.io/kubernetes")
	}
	var ld strings.Builder
	ld.WriteString("-s -w")
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		ld.WriteString(fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s", pkg, m[1], m[2], m[3]))
	}
	return []string{"-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags=" + ld.String()}, nil
}

func newBuilder(progress *Progress) (*builder, error) {
	moduleDir, err := kubeModuleDir()
	if err != nil {
		return nil, err
	}
	goMod, err := os.ReadFile(filepath.Join(moduleDir, "go.mod"))
	if err != nil {
		return nil, err
	}
	flags, err := buildFlags(goMod)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", moduleDir, err)
	}
	key, err := sourceHash(moduleDir, flags)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no place to keep the control plane's binaries: %w", err)
	}
	return &builder{moduleDir, filepath.Join(cache, "pdautoscaler", "kube-"+key), flags, progress}, nil
}

// sourceHash names a build by all that decides its outcome.
func sourceHash(moduleDir string, flags []string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.GOOS, runtime.GOARCH, strings.Join(flags, " "))
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		content, err := os.ReadFile(filepath.Join(moduleDir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, name, len(content))
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// kubeModuleDir finds test/tools/kube: upwards of the working directory, which is where tests and `go run` start, or else
// beside this source file as the compiler saw it.
func kubeModuleDir() (string, error) {
	const below = "test/tools/kube"
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if candidate := filepath.Join(dir, below); fileExists(filepath.Join(candidate, "go.mod")) {
			return candidate, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		candidate := filepath.Join(filepath.Dir(file), "..", "tools", "kube")
		if fileExists(filepath.Join(candidate, "go.mod")) {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("no %s above %s: run inside the repository, or set KUBEBUILDER_ASSETS to a directory with %s",
		below, wd, joinComponents(AllComponents))
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// build makes outDir, or waits for whoever is making it already.
func (b *builder) build(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(b.outDir), 0o755); err != nil {
		return err
	}
	lock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.unlock()
	if len(missingIn(b.outDir, AllComponents)) == 0 {
		return nil // somebody else has built it while this process waited
	}
	tmp, err := os.MkdirTemp(filepath.Dir(b.outDir), "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := b.compile(ctx, filepath.Join(tmp, "kube")); err != nil {
		return err
	}
	for _, c := range AllComponents {
		if err := os.Symlink("kube", filepath.Join(tmp, string(c))); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(b.outDir); err != nil { // a broken one, or this process would not be here
		return err
	}
	return os.Rename(tmp, b.outDir)
}

// lock waits until no other process is building the same thing.
func (b *builder) lock(ctx context.Context) (*fileLock, error) {
	tick := time.NewTicker(b.progress.every())
	defer tick.Stop()
	retry := time.NewTicker(200 * time.Millisecond)
	defer retry.Stop()
	for said := false; ; {
		lock, err := tryLock(b.outDir + ".lock")
		if !errors.Is(err, errLocked) {
			return lock, err
		}
		if !said {
			b.progress.Step("another process is building the control plane: waiting for it")
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another build of the control plane: %w", context.Cause(ctx))
		case <-tick.C:
			b.progress.Tick("still waiting for the other build")
		case <-retry.C:
		}
	}
}

// compile runs go build and tells how far it is.
func (b *builder) compile(ctx context.Context, out string) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the control plane has to be built, and there is no go command: %w", err)
	}
	start := time.Now()
	b.progress.Step("building the Kubernetes control plane from source, once: about 8 minutes on 2 cores")
	b.progress.Step("downloading its modules where they are missing (0.6 GB)")
	total, err := b.countPackages(ctx)
	if err != nil {
		return err
	}

	cmd := b.goCommand(ctx, append(append([]string{"build", "-v"}, b.flags...), "-o", out, ".")...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := startPinned(cmd); err != nil {
		return err
	}
	var compiled atomic.Int64
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(b.progress.every())
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				b.progress.Tick("compiled %d packages of at most %d", compiled.Load(), total)
			}
		}
	}()
	said := readBuildOutput(stderr, &compiled)
	err = cmd.Wait()
	close(stop)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("build the control plane: stopped after %.0f s (what is compiled so far is kept in the Go build cache): %w",
				time.Since(start).Seconds(), context.Cause(ctx))
		}
		return goError("build the control plane", err, said)
	}
	b.progress.Step("built the control plane in %.0f s", time.Since(start).Seconds())
	return nil
}

// countPackages returns how many packages the binary is made of. It downloads them where they are missing.
func (b *builder) countPackages(ctx context.Context) (int, error) {
	cmd := b.goCommand(ctx, "list", "-deps", "-f", "{{.ImportPath}}", ".")
	var list, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &list, &said
	err := startPinned(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return 0, goError("list the packages of the control plane", err, said.String())
	}
	return bytes.Count(list.Bytes(), []byte("\n")), nil
}

// goCommand prepares the go command in the module. GOFLAGS and GOWORK are the caller's business, not this module's.
func (b *builder) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.moduleDir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return signalGroup(cmd.Process.Pid, true) } // the compilers too
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// readBuildOutput counts the package names that go build -v prints and returns the end of everything else it says.
func readBuildOutput(r io.Reader, compiled *atomic.Int64) string {
	packageName := regexp.MustCompile(`^[^\s:#]+$`)
	var rest []string
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		if line := scanner.Text(); packageName.MatchString(line) {
			compiled.Add(1)
		} else {
			rest = append(rest, line)
		}
	}
	return strings.Join(rest[max(0, len(rest)-20):], "\n")
}

func goError(what string, err error, said string) error {
	if said = strings.TrimSpace(said); said == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %s", what, err, said)
}
