package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// pack writes the archives, their checksums and the manifest.
func (r *request) pack() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	digests := make([]string, len(r.binary))
	for i, b := range r.binary {
		content, err := r.archiveOf(b)
		if err != nil {
			return err
		}
		name := b.archive(r.version)
		if err := os.WriteFile(filepath.Join(r.out, name), content, 0o644); err != nil {
			return err
		}
		digests[i] = fmt.Sprintf("%x", sha256.Sum256(content))
		fmt.Fprintf(&sums, "%s  %s\n", digests[i], name) // as sha256sum writes and checks it
	}
	if err := os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(sums.String()), 0o644); err != nil {
		return err
	}
	manifest, err := r.manifest(digests)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "pda.yaml"), manifest, 0o644)
}

// archiveOf is the archive of one platform: the program and the licence, at the top.
func (r *request) archiveOf(b binary) ([]byte, error) {
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zipped)
	for _, f := range []struct {
		name, path string
		mode       int64
	}{{"LICENSE", r.licence, 0o644}, {b.plugin(), b.path, 0o755}} {
		content, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(content)), ModTime: r.created}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil { // before the bytes are taken: it writes the last of them
		return nil, err
	}
	return out.Bytes(), nil
}
