package controlplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// All addresses are loopback, see doc.go. The pods of all control planes on a machine share podRange in slices.
const (
	podRange     = "127.244.0.0/16"
	podSliceBits = 20 // 4094 pods for each of 16 control planes at a time
	serviceRange = "127.245.0.0/16"
)

// serviceAPIServer is the first address of serviceRange, which Kubernetes gives to the service "kubernetes".
var serviceAPIServer = net.IPv4(127, 245, 0, 1)

// reservePodCIDR takes a slice of podRange that no other control plane on this machine uses, until the lock is let go.
func reservePodCIDR() (string, *fileLock, error) {
	for slice := range 1 << (podSliceBits - 16) {
		path := filepath.Join(os.TempDir(), fmt.Sprintf("pdautoscaler-pods-%d.lock", slice))
		lock, err := tryLock(path)
		if errors.Is(err, errLocked) || errors.Is(err, os.ErrPermission) { // in use, perhaps by another user
			continue
		}
		if err != nil {
			return "", nil, err
		}
		return fmt.Sprintf("127.244.%d.0/%d", slice<<(24-podSliceBits), podSliceBits), lock, nil
	}
	return "", nil, fmt.Errorf("all of %s is in use: %d control planes run on this machine", podRange, 1<<(podSliceBits-16))
}
