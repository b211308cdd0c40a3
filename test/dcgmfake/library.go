package dcgmfake

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed libdcgm/standin.c
var source []byte

// libraryEnv names the folder of the compiled library, for the tests that run with it.
const libraryEnv = "PDAUTOSCALER_TEST_LIBDCGM"

// nodeEnv names the folder of the scenario, for the library.
const nodeEnv = "PDAUTOSCALER_TEST_DCGM"

// Real is the variable that has the tests run with the libdcgm.so.4 of this
// machine: those that need the stand-in are skipped then.
const Real = "PDAUTOSCALER_REAL_DCGM"

// Main runs a package's tests with the stand-in in LD_LIBRARY_PATH. A library
// path counts only from the start of a process, so the tests are run by another
// process of the same binary. Without gcc they run as they are, and Need skips.
func Main(m *testing.M) int {
	if os.Getenv(libraryEnv) != "" || os.Getenv(Real) != "" {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "libdcgm-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	switch err := Build(folder); {
	case errors.Is(err, exec.ErrNotFound):
		return m.Run()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	self := exec.Command(os.Args[0], os.Args[1:]...) // it ends when its tests do, which have a time limit of their own
	self.Env = append(os.Environ(), libraryEnv+"="+folder, "LD_LIBRARY_PATH="+folder)
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	switch err := self.Run(); {
	case errors.As(err, &exit):
		return max(1, exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Build compiles the library into a folder. Without gcc the error is exec.ErrNotFound.
func Build(folder string) error {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return err
	}
	file := filepath.Join(folder, "standin.c")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return err
	}
	cmd := exec.Command(gcc, "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC",
		"-Wl,-soname,libdcgm.so.4", "-o", filepath.Join(folder, "libdcgm.so.4"), file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the stand-in for libdcgm does not compile: %w\n%s", err, out)
	}
	return nil
}

// Need skips a test where there is no stand-in.
func Need(t testing.TB) {
	t.Helper()
	switch {
	case os.Getenv(libraryEnv) != "":
	case os.Getenv(Real) != "":
		t.Skipf("%s is set: the tests of the stand-in are left out", Real)
	default:
		t.Skip("gcc is not installed: the stand-in for libdcgm.so.4 cannot be compiled")
	}
}
