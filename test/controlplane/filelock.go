package controlplane

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// A fileLock is held by this process until unlock or until the process ends, however it ends.
type fileLock struct{ f *os.File }

// errLocked says that somebody else holds the lock.
var errLocked = errors.New("locked by another process")

// tryLock takes the lock of a file, which it makes where it is missing, or returns errLocked at once. Two holders in one
// process exclude each other too.
func tryLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &fileLock{f}, nil
}

// unlock lets the next one in. The file stays: to remove it would let two holders lock two files of one name.
func (l *fileLock) unlock() { l.f.Close() }
