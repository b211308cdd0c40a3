package pods

import (
	"regexp"
	"strings"
)

var (
	// oldMIG is "MIG-GPU-<uuid>/<GPU instance>/<compute instance>".
	oldMIG = regexp.MustCompile(`^MIG-(GPU-[^/]+)/([0-9]+)/[0-9]+$`)
	gke    = regexp.MustCompile(`^nvidia[0-9]+(/gi[0-9]+)?$`)
)

// Canonical brings a device id to the form of gpu.Device.AllocatedAs. shared says
// that the id is one of several of the same device. ok is false of what is no GPU's id.
func Canonical(id string) (name string, shared, ok bool) {
	name, _, shared = strings.Cut(id, "::")
	if before, _, found := strings.Cut(name, "/vgpu"); found {
		name, shared = before, true
	}
	if m := oldMIG.FindStringSubmatch(name); m != nil {
		return m[1] + "/gi" + m[2], shared, true
	}
	switch {
	case strings.HasPrefix(name, "GPU-"), strings.HasPrefix(name, "MIG-"):
		return name, shared, !strings.Contains(name, "/")
	case gke.MatchString(name):
		return name, shared, true
	}
	return "", false, false
}
