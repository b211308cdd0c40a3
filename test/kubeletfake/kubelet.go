// Package kubeletfake is a kubelet's pod-resources API for tests: the real service
// over gRPC on a unix socket, with a list that the test sets. It must never be
// imported by the agent.
package kubeletfake

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

// Kubelet answers from its list until it is stopped.
type Kubelet struct {
	podresources.UnimplementedPodResourcesListerServer
	t      testing.TB
	folder string

	mu     sync.Mutex
	list   *podresources.ListPodResourcesResponse
	err    error
	server *grpc.Server
}

// Start returns a kubelet that runs and has no pods.
func Start(t testing.TB) *Kubelet {
	t.Helper()
	folder, err := os.MkdirTemp("", "kubelet-") //nolint:usetesting // t.TempDir's path can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	k := &Kubelet{t: t, folder: folder, list: &podresources.ListPodResourcesResponse{}}
	k.Restart()
	t.Cleanup(func() {
		k.Stop()
		os.RemoveAll(folder)
	})
	return k
}

// Socket is the path of the kubelet's socket.
func (k *Kubelet) Socket() string { return filepath.Join(k.folder, "kubelet.sock") }

// Restart serves anew on the same path, as a kubelet does that was restarted.
func (k *Kubelet) Restart() {
	k.t.Helper()
	os.Remove(k.Socket())
	listener, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(k.t.Context()), "unix", k.Socket())
	if err != nil {
		k.t.Fatal(err)
	}
	server := grpc.NewServer()
	podresources.RegisterPodResourcesListerServer(server, k)
	k.mu.Lock()
	k.server = server
	k.mu.Unlock()
	go server.Serve(listener) //nolint:errcheck // it ends when the test does
}

// Stop ends the service; the socket goes with it.
func (k *Kubelet) Stop() {
	k.mu.Lock()
	server := k.server
	k.mu.Unlock()
	server.Stop()
}

// Fail has every question answered with an error; nil ends that.
func (k *Kubelet) Fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

// Show sets the pods.
func (k *Kubelet) Show(pods ...*podresources.PodResources) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = &podresources.ListPodResourcesResponse{PodResources: pods}
}

// List implements the service.
func (k *Kubelet) List(context.Context, *podresources.ListPodResourcesRequest) (*podresources.ListPodResourcesResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list, k.err
}

// Pod returns a pod of one container that holds devices of nvidia.com/gpu.
func Pod(namespace, name, container string, devices ...string) *podresources.PodResources {
	return &podresources.PodResources{Namespace: namespace, Name: name, Containers: []*podresources.ContainerResources{
		{Name: container, Devices: []*podresources.ContainerDevices{{ResourceName: "nvidia.com/gpu", DeviceIds: devices}}},
	}}
}
