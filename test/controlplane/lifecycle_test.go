package controlplane

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// servers are enough for what needs no pods, and start fastest.
var servers = []Component{Etcd, APIServer}

func TestStopLeavesNothing(t *testing.T) {
	ForTest(t) // skips under -short
	cp, err := Start(t.Context(), Options{AuditLog: true})
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, p := range cp.processes {
		pids = append(pids, p.cmd.Process.Pid)
	}
	if len(pids) != 5 {
		t.Errorf("%d processes run, want one for each of etcd, API server, controller manager, scheduler, kwok", len(pids))
	}
	if _, err := cp.NewNamespace(t.Context(), "audited"); err != nil {
		t.Error(err)
	}
	if err := cp.waitFor(t.Context(), "the audit log to name "+adminUser+" as a writer", func(context.Context) error {
		audit, err := os.ReadFile(filepath.Join(cp.Logs, "audit.log"))
		if err == nil && !bytes.Contains(audit, []byte(`"username":"`+adminUser+`"`)) {
			err = errors.New("it does not")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := cp.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process group %d still lives", pid)
		}
	}
	if fileExists(cp.Dir) {
		t.Errorf("the temporary directory %s is still there", cp.Dir)
	}
	if err := cp.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

// alive reports whether any process of a group is left. A zombie is none: its parent knows that it is dead.
func alive(pid int) bool { return !errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH) }

func TestGivenDirectoryStays(t *testing.T) {
	ForTest(t)
	dir := t.TempDir()
	cp, err := Start(t.Context(), Options{Dir: dir, Components: servers})
	if err != nil {
		t.Fatal(err)
	}
	if err := cp.Stop(); err != nil {
		t.Fatal(err)
	}
	if !fileExists(filepath.Join(dir, "logs", "kube-apiserver.log")) {
		t.Error("the logs are gone after Stop")
	}
	if _, err := Start(t.Context(), Options{Dir: dir, Components: servers}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("start in a used directory: error %v, want one that names it", err)
	}
}

func TestStartTellsWhyAComponentEnds(t *testing.T) {
	ForTest(t)
	_, err := Start(t.Context(), Options{
		Dir:        t.TempDir(),
		Components: servers,
		ExtraArgs:  map[Component][]string{APIServer: {"--no-such-flag"}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"kube-apiserver ended early", "unknown flag: --no-such-flag"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want it to hold %q", err, want)
		}
	}
}

func TestFailureOfAComponentIsSeen(t *testing.T) {
	ForTest(t)
	cp, err := Start(t.Context(), Options{Dir: t.TempDir(), Components: servers})
	if err != nil {
		t.Fatal(err)
	}
	defer cp.Stop()
	if err := syscall.Kill(cp.processes[0].cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-cp.Failed():
	case <-time.After(startTimeout):
		t.Fatalf("etcd was killed, and %s later nobody has noticed", startTimeout)
	}
	if err := cp.Err(); err == nil || !strings.Contains(err.Error(), "etcd ended early (signal: killed)") {
		t.Errorf("Err() = %v, want it to name etcd and the signal", err)
	}
}

func TestBeforeControllers(t *testing.T) {
	ForTest(t)
	boom := errors.New("boom")
	_, err := Start(t.Context(), Options{
		Components: servers,
		BeforeControllers: func(ctx context.Context, cfg *rest.Config) error {
			kube, err := kubernetes.NewForConfig(cfg)
			if err != nil {
				return err
			}
			if _, err := kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{}); err != nil {
				return err
			}
			return boom
		},
	})
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want the one of the function, which could use the API", err)
	}
}

func TestStartObeysItsContext(t *testing.T) {
	ForTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{Components: servers}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestPodRangesDoNotOverlap(t *testing.T) {
	one, oneLock, err := reservePodCIDR()
	if err != nil {
		t.Fatal(err)
	}
	defer oneLock.unlock()
	two, twoLock, err := reservePodCIDR()
	if err != nil {
		t.Fatal(err)
	}
	defer twoLock.unlock()
	if one == two {
		t.Errorf("two control planes both give their pods addresses of %s", one)
	}
}

func TestUserIsLimitedByRBAC(t *testing.T) {
	c := newCluster(t, 1, 0)
	cfg, err := c.cp.UserConfig("reader-of-"+c.namespace, "readers")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.CoreV1().Pods(c.namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list pods without any role: %v, want Forbidden", err)
	}
	_, err = c.kube.RbacV1().RoleBindings(c.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "view"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "readers"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cp.waitFor(t.Context(), "the role to count", func(ctx context.Context) error {
		_, err := reader.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := reader.CoreV1().Pods(c.namespace).Delete(t.Context(), "any", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("delete as a reader: %v, want Forbidden", err)
	}
	if _, err := reader.CoreV1().Pods(corev1.NamespaceDefault).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list pods of another namespace: %v, want Forbidden", err)
	}
}

func TestKubectl(t *testing.T) {
	cp := ForTest(t)
	if _, err := cp.KubectlInput(t.Context(), `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "from-stdin"}}`, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	out, err := cp.Kubectl(t.Context(), "get", "configmap", "from-stdin", "-o", "name")
	if err != nil || out != "configmap/from-stdin\n" {
		t.Errorf("kubectl get: %q, %v", out, err)
	}
	if _, err := cp.Kubectl(t.Context(), "get", "configmap", "missing"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("kubectl get of a missing object: error %v, want kubectl's own words", err)
	}
	kubeconfig, err := cp.UserKubeconfig("somebody")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cp.Kubectl(t.Context(), "--kubeconfig="+kubeconfig, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); err != nil || out != "somebody" {
		t.Errorf("whoami with the kubeconfig of somebody: %q, %v", out, err)
	}
}

// orphanMakerDir makes this test binary start a control plane in a directory, write its processes' ids to the file
// pids there, and wait to be killed.
const orphanMakerDir = "CONTROLPLANE_TEST_ORPHAN_MAKER_DIR"

func makeOrphans(dir string) {
	cp, err := Start(context.Background(), Options{Dir: filepath.Join(dir, "cp"), Components: servers})
	if err != nil {
		panic(err)
	}
	var pids []string
	for _, p := range cp.processes {
		pids = append(pids, strconv.Itoa(p.cmd.Process.Pid))
	}
	if err := os.WriteFile(filepath.Join(dir, "pids.tmp"), []byte(strings.Join(pids, " ")), 0o644); err != nil {
		panic(err)
	}
	if err := os.Rename(filepath.Join(dir, "pids.tmp"), filepath.Join(dir, "pids")); err != nil {
		panic(err)
	}
	select {}
}

func TestKilledParentLeavesNoProcess(t *testing.T) {
	shared := ForTest(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), orphanMakerDir+"="+dir)
	parent.SysProcAttr = childAttr()
	if err := startPinned(parent); err != nil {
		t.Fatal(err)
	}
	var pids []byte
	err = shared.waitFor(t.Context(), "the second process's control plane", func(context.Context) (err error) {
		pids, err = os.ReadFile(filepath.Join(dir, "pids"))
		return err
	})
	if killErr := parent.Process.Kill(); killErr != nil {
		t.Error(killErr)
	}
	_ = parent.Wait() // it was killed
	if err != nil {
		t.Fatal(err)
	}
	for field := range strings.FieldsSeq(string(pids)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if err := shared.waitFor(t.Context(), "process "+field+" to die with its parent", func(context.Context) error {
			if stat, err := os.ReadFile("/proc/" + field + "/stat"); err == nil && !bytes.Contains(stat, []byte(") Z ")) && alive(pid) {
				return errors.New("it lives")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
