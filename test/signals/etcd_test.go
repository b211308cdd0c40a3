package signals

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

// startEtcd runs the control plane's etcd by itself.
func startEtcd(t *testing.T) (url string, client *clientv3.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the binaries of a control plane: not under -short")
	}
	dir, err := controlplane.Binaries(t.Context(), nil, controlplane.Etcd)
	if err != nil {
		t.Fatal(err)
	}
	held, err := ports.Hold(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(held.Close)
	urls := []string{"http://" + held.Address(0), "http://" + held.Address(1)}
	cmd := exec.Command(filepath.Join(dir, string(controlplane.Etcd)), "--data-dir", t.TempDir(), "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
		"--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1], "--initial-cluster", "default="+urls[1], "--unsafe-no-fsync", "--log-level", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	client, err = clientv3.New(clientv3.Config{Endpoints: urls[:1], DialTimeout: patience, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := client.Get(ctx, "ready", clientv3.WithSerializable()); err != nil {
		t.Fatalf("etcd does not answer: %v", err)
	}
	return urls[0], client
}

// register puts a worker in as Dynamo does: each of its endpoints under one lease.
func register(t *testing.T, client *clientv3.Client, component string) clientv3.LeaseID {
	t.Helper()
	lease, err := client.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{"generate", "clear_kv_blocks"} {
		if _, err := client.Put(t.Context(), fmt.Sprintf("instances/dynamo/%s/%s:%x", component, endpoint, lease.ID), "{}", clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
	}
	return lease.ID
}

// The workers that are registered are compared with the pods that are ready.
func TestRegisteredWorkers(t *testing.T) {
	url, client := startEtcd(t)
	first := register(t, client, "PrefillWorker")
	register(t, client, "PrefillWorker")
	register(t, client, "VllmWorker")
	c := collector(t, signals.Config{Engine: "vllm", TTFTPercentile: .9, TPOTPercentile: .9, Timeout: patience,
		Etcd: &signals.EtcdConfig{Endpoints: []string{url}, PrefillPrefix: "instances/dynamo/PrefillWorker/", DecodePrefix: "instances/dynamo/VllmWorker/"}})
	pods := func(ready bool) []signals.Target {
		var out []signals.Target
		for i, kind := range []signals.Kind{signals.KindPrefill, signals.KindPrefill, signals.KindDecode} {
			out = append(out, signals.Target{Kind: kind, Namespace: "default", Pod: fmt.Sprint(i), UID: fmt.Sprint(i), URL: "http://127.0.0.1:1/metrics", Ready: ready || i > 0})
		}
		return out
	}
	report := func(ready bool) signals.SourceReport {
		t.Helper()
		_, reports := c.Collect(t.Context(), pods(ready), time.Now())
		for _, r := range reports {
			if r.Kind == signals.KindEtcd {
				return r
			}
		}
		t.Fatal("no report of etcd")
		return signals.SourceReport{}
	}
	if got := report(true); !got.OK || got.Degraded != "" || got.Detail != "2 prefill and 1 decode workers are registered" {
		t.Errorf("report = %+v, want two and one, as there are pods", got)
	}
	if got := report(false); !strings.Contains(got.Degraded, "1 prefill pod ready and 2 registered") {
		t.Errorf("report = %+v, want it to say that one too many is registered", got)
	}
	if _, err := client.Revoke(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if got := report(true); !strings.Contains(got.Degraded, "2 prefill pods ready and 1 registered: 1 take no requests") {
		t.Errorf("report = %+v, want it to say that one is not registered", got)
	}
	// Keys that no lease ends say nothing of who is alive.
	if _, err := client.Delete(t.Context(), "instances/dynamo/VllmWorker/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if got := report(true); !strings.Contains(got.Degraded, "1 decode pod ready and 0 registered") {
		t.Errorf("report = %+v, want it to say that none is registered", got)
	}
	if _, err := client.Put(t.Context(), "instances/dynamo/VllmWorker/generate:1", "{}"); err != nil {
		t.Fatal(err)
	}
	if got := report(true); !strings.Contains(got.Degraded, "have no lease") {
		t.Errorf("report = %+v, want it to say that the key has no lease", got)
	}
}

// An etcd that is protected is read with a user and a password, and not without.
func TestProtectedEtcd(t *testing.T) {
	url, client := startEtcd(t)
	register(t, client, "PrefillWorker")
	for _, err := range []error{
		func() error { _, err := client.UserAdd(t.Context(), "root", "secret"); return err }(),
		func() error { _, err := client.UserGrantRole(t.Context(), "root", "root"); return err }(),
		func() error { _, err := client.AuthEnable(t.Context()); return err }(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for password, want := range map[string]string{"secret": "", "wrong": "authentication failed"} {
		c := collector(t, signals.Config{Engine: "vllm", TTFTPercentile: .9, TPOTPercentile: .9, Timeout: patience,
			Etcd: &signals.EtcdConfig{Endpoints: []string{url}, PrefillPrefix: "instances/dynamo/PrefillWorker/", DecodePrefix: "instances/dynamo/VllmWorker/", User: "root", Password: password}})
		_, reports := c.Collect(t.Context(), nil, time.Now())
		if got := reports[0]; got.OK != (want == "") || !strings.Contains(got.Error, want) || strings.Contains(got.Error, "wrong") {
			t.Errorf("with the password %q: %+v, want %q", password, got, want)
		}
	}
}
