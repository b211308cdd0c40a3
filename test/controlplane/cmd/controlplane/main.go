// Command controlplane runs the control plane of package controlplane in the foreground, for a person to look at:
//
//	go run ./test/controlplane/cmd/controlplane -gpus 8
//
// With -build-only it makes the binaries, for which tests would otherwise wait, and prints where they are.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	buildOnly := flag.Bool("build-only", false, "make the binaries, print their directory and end")
	dir := flag.String("dir", "", "directory for keys, data and logs (default: a temporary one)")
	nodes := flag.Int("nodes", 1, "number of GPU nodes")
	gpus := flag.Int("gpus", 8, "GPUs of each node")
	product := flag.String("gpu-product", "NVIDIA-H200", "GPU product of the nodes")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if *buildOnly {
		bin, err := controlplane.Binaries(ctx, controlplane.NewProgress(os.Stderr))
		if err != nil {
			return err
		}
		fmt.Println(bin)
		return nil
	}
	cp, err := controlplane.Start(ctx, controlplane.Options{Dir: *dir, Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := cp.Stop(); err == nil {
			err = stopErr
		}
	}()
	if *nodes > 0 {
		if _, err := cp.AddGPUNodes(ctx, *nodes, *gpus, *product); err != nil {
			return err
		}
	}
	fmt.Printf("export KUBECONFIG=%s\nexport PATH=%s:$PATH\n", cp.Kubeconfig, cp.BinDir())
	fmt.Fprintln(os.Stderr, "running until interrupted")
	select {
	case <-ctx.Done():
		return nil
	case <-cp.Failed():
		return nil // Stop tells why
	}
}
