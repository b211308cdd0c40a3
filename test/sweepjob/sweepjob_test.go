package sweepjob

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Main(m, controlplane.Options{})) }

const scenario = `
model: qwen3-32b
gpu: h200
prefill: {tp: 2, replicas: 2}
decode: {tp: 2}
traffic: {trace: traces/t.csv}
slo: {ttft: {p95: 2s}, tpot: {p95: 40ms}}
policies: [static, pdautoscaler]
`

// The manifest passes the API server and the restricted pod standard, the Job controller gives each pod an index, and
// the shards that the pods print merge into the bytes that one machine writes.
func TestTheJobOfASweep(t *testing.T) {
	cp := controlplane.ForTest(t)
	if _, err := cp.AddGPUNodes(t.Context(), 1, 0, ""); err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) []byte {
		t.Helper()
		out, err := cp.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(out)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "s.yaml"), scenario)
	write(t, filepath.Join(dir, "traces", "t.csv"), "arrival_s,input,output\n"+strings.Repeat("1,500,40\n2,900,80\n9,100,10\n", 50))
	pdctl := filepath.Join(dir, "pdctl")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", pdctl, "../../cmd/pdctl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sweep := []string{"simulate", "-f", filepath.Join(dir, "s.yaml"), "--sweep", "prefill.tp=1,2", "--sweep", "seed=1,2"}
	whole := run(t, nil, "", pdctl, append(sweep, "-o", "json")...)
	write(t, filepath.Join(dir, "job.yaml"), string(run(t, nil, "", pdctl, append(sweep, "--shards", "3", "--job-manifest", "--job-name", "sizes")...)))

	kubectl("create", "namespace", "sizing")
	kubectl("label", "namespace", "sizing", "pod-security.kubernetes.io/enforce=restricted")
	kubectl("apply", "-n", "sizing", "--validate=strict", "-f", filepath.Join(dir, "job.yaml"))
	var pods corev1.PodList
	for deadline := time.Now().Add(5 * time.Minute); len(pods.Items) < 3 && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		pods = corev1.PodList{}
		if err := json.Unmarshal(kubectl("get", "pods", "-n", "sizing", "-l", "batch.kubernetes.io/job-name=sizes", "-o", "json"), &pods); err != nil {
			t.Fatal(err)
		}
	}
	if len(pods.Items) != 3 {
		t.Fatalf("the Job has %d pods:\n%s", len(pods.Items), kubectl("describe", "job", "-n", "sizing", "sizes"))
	}
	var logs bytes.Buffer
	for i := range pods.Items {
		logs.Write(runPod(t, pdctl, &pods.Items[i], kubectl))
	}
	if merged := run(t, nil, logs.String(), pdctl, "merge", "-", "-o", "json"); !bytes.Equal(whole, merged) {
		t.Errorf("one machine writes\n%s\nthe pods' shards merge into\n%s", whole, merged)
	}
}

// runPod runs what a pod's container would, with what it would find at its mount and in its environment.
func runPod(t *testing.T, pdctl string, pod *corev1.Pod, kubectl func(...string) []byte) []byte {
	t.Helper()
	c := &pod.Spec.Containers[0]
	mount := t.TempDir()
	for _, v := range pod.Spec.Volumes {
		if v.ConfigMap == nil {
			continue
		}
		var config corev1.ConfigMap
		if err := json.Unmarshal(kubectl("get", "configmap", "-n", pod.Namespace, v.ConfigMap.Name, "-o", "json"), &config); err != nil {
			t.Fatal(err)
		}
		for _, item := range v.ConfigMap.Items {
			content := string(config.BinaryData[item.Key])
			if text, ok := config.Data[item.Key]; ok {
				content = text
			}
			write(t, filepath.Join(mount, item.Path), content)
		}
	}
	var environment []string
	for _, e := range c.Env {
		if from := e.ValueFrom; from != nil && from.FieldRef != nil {
			// metadata.annotations['NAME'] or metadata.labels['NAME']: both hold the index.
			name := strings.Trim(from.FieldRef.FieldPath[strings.IndexByte(from.FieldRef.FieldPath, '['):], "[]'")
			value := pod.Annotations[name]
			if strings.HasPrefix(from.FieldRef.FieldPath, "metadata.labels") {
				value = pod.Labels[name]
			}
			environment = append(environment, e.Name+"="+value)
		}
	}
	var args []string
	for _, a := range c.Args {
		args = append(args, strings.Replace(a, c.VolumeMounts[0].MountPath+"/", mount+"/", 1))
	}
	return run(t, environment, "", pdctl, args...)
}

func run(t *testing.T, environment []string, stdin, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, failed.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
