package stage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

// controller is the autoscaler in a process of its own.
type controller struct {
	cmd     *exec.Cmd
	log     string
	address string // of /metrics and /debug/decisions
	probes  string
	done    chan struct{} // closed when it has ended
	err     error         // how it ended; read only after done
	asked   atomic.Bool   // to end
}

// stopGrace is how long the autoscaler may take to end in good order.
const stopGrace = 2 * time.Minute

// startController starts the binary and returns at once. Its output goes to a file. The flags are those that it is installed
// with, then what differs on this machine, then more of them: of a flag given twice the last one counts.
func startController(binary, kubeconfig, log string, installed, more []string) (*controller, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has a copy of its own
	held, err := ports.Hold(2)
	if err != nil {
		return nil, err
	}
	c := &controller{address: held.Address(0), probes: held.Address(1), log: log, done: make(chan struct{})}
	c.cmd = exec.Command(binary, slices.Concat(installed, []string{
		"--kubeconfig", kubeconfig,
		"--metrics-bind-address", c.address,
		"--health-probe-bind-address", c.probes,
		"--records", "2000",
		"--log-format", "text",
	}, more)...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = childAttr()
	started := make(chan error)
	go func() {
		// Linux ends a child with the thread that started it, not with the process: this one waits as long as the child lives.
		runtime.LockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			held.Close()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		held.Close()
		return nil, fmt.Errorf("start the autoscaler: %w", err)
	}
	return c, nil
}

// ready waits until the autoscaler says that it is.
func (c *controller) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.probes+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the autoscaler did not become ready (%w); its log is %s", context.Cause(ctx), c.log)
		case <-c.done:
			return c.ended()
		case <-tick.C:
		}
	}
}

// ended says how the process ended without being asked to, and nothing if it was asked to.
func (c *controller) ended() error {
	if c.asked.Load() {
		return nil
	}
	return fmt.Errorf("the autoscaler ended by itself (%w); its log is %s", errors.Join(c.err, errEnded), c.log)
}

var errEnded = errors.New("it should run until it is stopped")

// stop ends the process and waits until it is gone.
func (c *controller) stop() error {
	c.asked.Store(true)
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // one that is gone already is what is wanted
	select {
	case <-c.done:
		return nil
	case <-time.After(stopGrace):
		_ = c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("the autoscaler did not end within %s and was killed; its log is %s", stopGrace, c.log)
	}
}

// kill ends the process as the loss of its node does: it can put nothing in order.
func (c *controller) kill() {
	c.asked.Store(true)
	_ = c.cmd.Process.Kill() // one that is gone already is what is wanted
	<-c.done
}

// get reads a page of the autoscaler with a bearer token.
func (c *controller) get(ctx context.Context, path, token string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.address+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := loopback.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %.200s", path, response.Status, body)
	}
	return body, nil
}

// loopback trusts the self-signed certificate that the autoscaler makes for itself: the address is our own machine's.
var loopback = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
}
