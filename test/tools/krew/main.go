// Command krew packs pdctl as a plugin of kubectl for krew, kubectl's own manager of plugins: an archive for each platform, their
// checksums, and the manifest that names them. The same binaries always give the same files, to the last bit.
//
//	krew -version v0.1.0 -created 2026-01-31T12:00:00Z -licence LICENSE -out dist \
//	    linux/amd64=dist/linux_amd64/pdctl windows/amd64=dist/windows_amd64/pdctl.exe
//
// It writes kubectl-pda_VERSION_OS_ARCH.tar.gz, SHA256SUMS and pda.yaml. The archives go to the release of that version on GitHub, the
// manifest to krew's index.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "krew: %v\n", err)
		os.Exit(1)
	}
}

// A request says what to pack.
type request struct {
	version string
	created time.Time
	licence string
	out     string
	binary  []binary
}

// A binary is pdctl for one platform.
type binary struct{ os, arch, path string }

// plugin is the name of the program in an archive, by which kubectl finds it.
func (b binary) plugin() string {
	if b.os == "windows" {
		return "kubectl-pda.exe"
	}
	return "kubectl-pda"
}

// archive is the file's name.
func (b binary) archive(version string) string {
	return fmt.Sprintf("kubectl-pda_%s_%s_%s.tar.gz", version, b.os, b.arch)
}

// semantic is what krew takes for a version.
var semantic = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func run(args []string) error {
	flags := flag.NewFlagSet("krew", flag.ContinueOnError)
	r := request{}
	created := ""
	flags.StringVar(&r.version, "version", "", "version of the release, as v0.1.0")
	flags.StringVar(&created, "created", "", "time of its commit (RFC 3339): every file's time")
	flags.StringVar(&r.licence, "licence", "LICENSE", "file with the licence, which every archive holds")
	flags.StringVar(&r.out, "out", "dist", "folder to write to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !semantic.MatchString(r.version) {
		return fmt.Errorf("-version is %q: krew takes versions as v0.1.0 or v0.1.0-rc.1", r.version)
	}
	var err error
	if r.created, err = time.Parse(time.RFC3339, created); err != nil {
		return fmt.Errorf("-created is %q: want a time as 2026-01-31T12:00:00Z", created)
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("at least one OS/ARCH=PATH is needed")
	}
	for _, arg := range flags.Args() {
		platform, path, ok := strings.Cut(arg, "=")
		system, arch, both := strings.Cut(platform, "/")
		if !ok || !both || system == "" || arch == "" || path == "" {
			return fmt.Errorf("%q: want OS/ARCH=PATH, as linux/amd64=dist/linux_amd64/pdctl", arg)
		}
		r.binary = append(r.binary, binary{system, arch, path})
	}
	return r.pack()
}
