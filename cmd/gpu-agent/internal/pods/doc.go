// Package pods finds out which pods hold the GPUs of this node: it asks the
// kubelet's pod-resources API (v1, gRPC on a unix socket of the node) and brings
// device ids to one form.
//
// It must never ask the API server, and never guess: a device that two pods are
// said to hold has no owner.
//
//	deviceid.go  the forms of device ids
//	owners.go    from the kubelet's list to the owner of a device
//	kubelet.go   the question itself, repeated; how long an answer counts
//
// Sources: k8s.io/kubelet/pkg/apis/podresources/v1 for the API; the device ids are
// those of NVIDIA's device plugin ("GPU-…", "MIG-…", with "::N" where a device is
// shared by time slicing or MPS), of drivers before R470 ("MIG-GPU-…/gi/ci") and of
// GKE's plugin ("nvidia0", "nvidia0/gi3", with "/vgpu1" where shared).
package pods
