package workload

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// rbgGroup is the API group of RBG's kinds, and rbgVersions are the versions of
// it that are understood, the newest first. RBG v0.6 and older serve v1alpha1
// only; v0.7 and newer serve both and store v1alpha2.
const rbgGroup = "workloads.x-k8s.io"

var rbgVersions = []string{"v1alpha2", "v1alpha1"}

const groupKind = "RoleBasedGroup"

// kinds are RBG's kinds in one of its versions.
type kinds struct{ version string }

func (k kinds) of(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: rbgGroup, Version: k.version, Kind: kind}
}

func (k kinds) group() schema.GroupVersionKind   { return k.of(groupKind) }
func (k kinds) adapter() schema.GroupVersionKind { return k.of(adapterKind) }

// legacy reports whether the groups are those of v1alpha1, whose roles have
// other fields and StatefulSets where none is named.
func (k kinds) legacy() bool { return k.version == "v1alpha1" }

// defaultWorkload is the kind of object that carries a role that names none.
func (k kinds) defaultWorkload() schema.GroupVersionKind {
	if k.legacy() {
		return schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"}
	}
	return k.of("RoleInstanceSet")
}

// Discovery is what is asked of the API server's discovery;
// discovery.DiscoveryClient of client-go has it.
type Discovery interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// WithDiscovery finds out which versions the cluster serves through the given
// discovery. Without it the writer's RESTMapper is asked, which does not know
// which version is stored, and may be as old as the process.
func WithDiscovery(d Discovery) Option { return func(w *Workload) { w.discovery = d } }

// servedAge is how long an answer about what is served is believed: an upgrade
// of RBG adds a version under a running controller.
const servedAge = 5 * time.Minute

// served is an answer about versions.
type served struct {
	kinds kinds
	asked time.Time
}

// errNotServed says that the cluster serves no version that is understood.
var errNotServed = errors.New("this cluster does not serve RoleBasedGroup of " + rbgGroup + " in a version that is understood: allowed is " + strings.Join(rbgVersions, " or "))

// rbg returns RBG's kinds in the version to use: the stored one where it is
// served and understood, so that nothing is converted on its way, else the
// newest of those that are.
func (w *Workload) rbg(ctx context.Context, now time.Time) (kinds, error) {
	w.mu.Lock()
	known := w.served
	w.mu.Unlock()
	if known.kinds.version != "" && now.Sub(known.asked) < servedAge && !now.Before(known.asked) {
		return known.kinds, nil
	}
	version, err := w.askVersion(ctx)
	if err != nil {
		return kinds{}, err
	}
	w.mu.Lock()
	w.served = served{kinds{version}, now}
	w.mu.Unlock()
	return kinds{version}, nil
}

// forgetVersion makes the next observation ask again.
func (w *Workload) forgetVersion() {
	w.mu.Lock()
	w.served = served{}
	w.mu.Unlock()
}

func (w *Workload) askVersion(ctx context.Context) (string, error) {
	if w.discovery == nil {
		return w.mappedVersion()
	}
	found := ""
	for _, version := range rbgVersions {
		list, err := w.discovery.ServerResourcesForGroupVersionWithContext(ctx, rbgGroup+"/"+version)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("ask whether %s/%s is served: %w", rbgGroup, version, err)
		}
		at := slices.IndexFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == groupKind && !strings.Contains(r.Name, "/") })
		if at < 0 {
			continue
		}
		if list.APIResources[at].StorageVersionHash == storageHash(version) {
			return version, nil
		}
		if found == "" {
			found = version
		}
	}
	if found == "" {
		return "", errNotServed
	}
	return found, nil
}

// mappedVersion asks the RESTMapper, whose mappings come preferred first.
func (w *Workload) mappedVersion() (string, error) {
	mappings, err := w.writer.RESTMapper().RESTMappings(schema.GroupKind{Group: rbgGroup, Kind: groupKind})
	if meta.IsNoMatchError(err) {
		return "", errNotServed
	}
	if err != nil {
		return "", fmt.Errorf("ask which versions of %s are served: %w", rbgGroup, err)
	}
	for _, m := range mappings {
		if slices.Contains(rbgVersions, m.GroupVersionKind.Version) {
			return m.GroupVersionKind.Version, nil
		}
	}
	return "", errNotServed
}

// storageHash is how discovery names the stored version of RoleBasedGroup: the
// first eight bytes of a SHA-256 of group, version and kind. It is the only
// trace of that version which everyone may read.
func storageHash(version string) string {
	sum := sha256.Sum256([]byte(rbgGroup + "/" + version + "/" + groupKind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}
