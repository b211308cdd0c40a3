package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// What a person has is not lost by what a command writes: a file that was there
// is replaced when the new one is whole, and never by what was made from it.

// notOver refuses a file to write that is one of those read, under whatever name.
func notOver(flag, path string, read ...string) error {
	if path == "" {
		return nil
	}
	to, errTo := os.Stat(path)
	for _, other := range read {
		if other == "" {
			continue
		}
		from, err := os.Stat(other)
		if filepath.Clean(path) == filepath.Clean(other) || errTo == nil && err == nil && to.Mode().IsRegular() && os.SameFile(to, from) {
			return fmt.Errorf("--%s is %s, which is read or written for something else: allowed is a file of its own", flag, path)
		}
	}
	return nil
}

// writable says before a long simulation whether its result can be written. A file that is not there yet is not left behind.
func writable(name string) error {
	_, missing := os.Stat(name)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil || missing == nil {
		return err
	}
	return os.Remove(name)
}

// writeFile writes a file through a buffer, beside its place until it is whole.
// What is no file, such as a pipe, is written to as it is.
func writeFile(name string, fill func(io.Writer) error) (err error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return fillFile(name, os.O_WRONLY, fill)
	}
	if err := writable(name); err != nil {
		return err
	}
	place := name
	if info != nil { // what a link leads to is replaced, not the link
		if place, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	}
	part := fmt.Sprintf("%s.%d.part", place, os.Getpid())
	err = fillFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fill)
	if err == nil && info != nil {
		err = os.Chmod(part, info.Mode().Perm())
	}
	if err == nil {
		err = os.Rename(part, place)
	}
	if err != nil {
		_ = os.Remove(part)
	}
	return err
}

func fillFile(name string, flags int, fill func(io.Writer) error) (err error) {
	file, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
	}()
	w := bufio.NewWriterSize(file, 1<<16)
	if err := fill(w); err != nil {
		return err
	}
	return w.Flush()
}
