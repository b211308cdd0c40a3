package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

const (
	scenarioMount = "/scenario"
	scenarioKey   = "scenario.yaml"
	// mostBytes is what a ConfigMap can hold, less some room for its own words.
	mostBytes = 1<<20 - 1<<14
)

// manifest is a ConfigMap with the scenario and the files that it names, and an Indexed Job whose pods simulate a shard each.
func (o *simulateOptions) manifest(s *scenario.Sweep, text []byte) ([]byte, error) {
	if problems := validation.IsDNS1123Label(o.sweeps.name); len(problems) > 0 {
		return nil, fmt.Errorf("--job-name is %q: %s", o.sweeps.name, strings.Join(problems, "; "))
	}
	config := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: o.sweeps.name},
		Data:       map[string]string{scenarioKey: string(text)},
	}
	paths := []corev1.KeyToPath{{Key: scenarioKey, Path: scenarioKey}}
	names, err := o.filesOf(s)
	if err != nil {
		return nil, err
	}
	size := len(text)
	for i, name := range names {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(o.file), name))
		if err != nil {
			return nil, err
		}
		size += 4 * len(content) / 3
		key := "file-" + strconv.Itoa(i)
		if config.BinaryData == nil {
			config.BinaryData = map[string][]byte{}
		}
		config.BinaryData[key] = content
		paths = append(paths, corev1.KeyToPath{Key: key, Path: filepath.ToSlash(filepath.Clean(name))})
	}
	if size > mostBytes {
		return nil, fmt.Errorf("the scenario and the files that it names take %d bytes, and a ConfigMap holds %d: gzip the trace, or put them into an image with pdctl", size, mostBytes)
	}
	var out bytes.Buffer
	for _, object := range []any{config, o.job(paths)} {
		raw, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(bytes.ReplaceAll(raw, []byte("status: {}\n"), nil))
	}
	return out.Bytes(), nil
}

// filesOf are the files that any point of the sweep names, relative to the scenario.
func (o *simulateOptions) filesOf(s *scenario.Sweep) ([]string, error) {
	if o.trace != "" {
		return nil, errors.New("--trace is a file of this machine: name it in the scenario, as traffic.trace")
	}
	var all []string
	seen := map[string]bool{"": true}
	for point := range s.Points() {
		f, _, err := s.File(point)
		if err != nil {
			return nil, err
		}
		for _, name := range f.Files() {
			if seen[name] {
				continue
			}
			seen[name] = true
			if !filepath.IsLocal(name) {
				return nil, fmt.Errorf("%s is not in the scenario's folder or below it: pods find only what is", name)
			}
			if filepath.Clean(name) == scenarioKey {
				return nil, fmt.Errorf("%s is what pods call the scenario itself: give the file another name", name)
			}
			all = append(all, name)
		}
	}
	return all, nil
}

// job runs this same command line over the shards.
func (o *simulateOptions) job(paths []corev1.KeyToPath) *batchv1.Job {
	args := []string{"simulate", "--file", scenarioMount + "/" + scenarioKey}
	for _, k := range o.sweeps.keys {
		args = append(args, "--sweep", k)
	}
	args = append(args, "--shards", strconv.Itoa(o.sweeps.shards))
	if len(o.policies) > 0 {
		args = append(args, "--policy", strings.Join(o.policies, ","))
	}
	if o.stepwise {
		args = append(args, "--stepwise")
	}
	if o.frontier {
		args = append(args, "--frontier", "--target", o.target.String())
	}
	shards, retries := int32(o.sweeps.shards), int32(2)
	indexed, yes, no := batchv1.IndexedCompletion, true, false
	labels := map[string]string{"app.kubernetes.io/name": "pdctl", "app.kubernetes.io/component": "simulate"}
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: o.sweeps.name, Labels: labels},
		Spec: batchv1.JobSpec{
			CompletionMode: &indexed, Completions: &shards, Parallelism: &shards, BackoffLimitPerIndex: &retries,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: &no,
					SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
					Containers: []corev1.Container{{
						Name: "simulate", Image: o.sweeps.image, Args: args,
						Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
							corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("512Mi")}},
						SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
						VolumeMounts:    []corev1.VolumeMount{{Name: "scenario", MountPath: scenarioMount, ReadOnly: true}},
					}},
					Volumes: []corev1.Volume{{Name: "scenario", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
						LocalObjectReference: corev1.LocalObjectReference{Name: o.sweeps.name}, Items: paths}}}},
				},
			},
		},
	}
}
