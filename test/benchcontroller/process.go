package benchcontroller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pdautoscaler/pdautoscaler/pkg/controller"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

// Process is the controller in a process of its own.
type Process struct {
	cmd     *exec.Cmd
	address string
	done    chan struct{}
	err     error // how it ended; read only after done
}

// StartProcess starts the controller's binary with so many processors and Go's own limit of memory. Its log goes to a file.
func StartProcess(binary, kubeconfig, log string, processors int, memoryLimit string, arguments ...string) (*Process, error) {
	held, err := ports.Hold(1)
	if err != nil {
		return nil, err
	}
	p := &Process{address: held.Address(0), done: make(chan struct{})}
	out, err := os.Create(log)
	if err != nil {
		held.Close()
		return nil, err
	}
	defer out.Close() // the child has a copy of its own
	p.cmd = exec.Command(binary, append([]string{
		"--kubeconfig", kubeconfig, "--metrics-bind-address", p.address, "--metrics-secure=false", "--health-probe-bind-address", "",
	}, arguments...)...)
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", processors), "GOMEMLIMIT="+memoryLimit)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		held.Close()
		return nil, fmt.Errorf("start the controller: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		held.Close()
		close(p.done)
	}()
	return p, nil
}

// Stop ends it, by force where it does not obey.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that is gone already is what is wanted
	select {
	case <-p.done:
		return p.err
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.done
		return errors.New("the controller did not end within a minute and was killed")
	}
}

// Sample is what the controller says of itself at one moment.
type Sample struct {
	At time.Time
	// Rounds are the times of all rounds so far, Late how long after they were due they began.
	Rounds, Late Histogram
	// CPU is the processor time so far.
	CPU time.Duration
}

// Histogram is cumulative counts by upper bound in seconds.
type Histogram struct {
	Bounds []float64
	Counts []float64
}

// Sample reads the controller's metrics.
func (p *Process) Sample(ctx context.Context) (Sample, error) {
	families, err := p.Metrics(ctx)
	if err != nil {
		return Sample{}, err
	}
	s := Sample{At: time.Now()}
	if s.Rounds, err = histogramOf(families, "controller_runtime_reconcile_time_seconds"); err != nil {
		return s, err
	}
	if s.Late, err = histogramOf(families, controller.RoundsLate); err != nil {
		return s, err
	}
	for _, m := range families["process_cpu_seconds_total"].GetMetric() {
		s.CPU = time.Duration(m.GetCounter().GetValue() * float64(time.Second))
	}
	return s, nil
}

// Metrics reads the whole page.
func (p *Process) Metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(body))
}

func histogramOf(families map[string]*dto.MetricFamily, name string) (Histogram, error) {
	h := Histogram{}
	for _, m := range families[name].GetMetric() {
		for i, b := range m.GetHistogram().GetBucket() {
			if i == len(h.Bounds) {
				h.Bounds, h.Counts = append(h.Bounds, b.GetUpperBound()), append(h.Counts, 0)
			}
			h.Counts[i] += float64(b.GetCumulativeCount())
		}
	}
	if len(h.Bounds) == 0 {
		return h, fmt.Errorf("the controller has no histogram %s", name)
	}
	return h, nil
}

// Minus is what came between two samples.
func (h Histogram) Minus(before Histogram) Histogram {
	out := Histogram{Bounds: h.Bounds, Counts: append([]float64(nil), h.Counts...)}
	for i := range before.Counts {
		out.Counts[i] -= before.Counts[i]
	}
	return out
}

// Count is how many there are.
func (h Histogram) Count() float64 {
	if len(h.Counts) == 0 {
		return 0
	}
	return h.Counts[len(h.Counts)-1]
}

// Quantile is the upper bound of the bucket that holds a quantile: the true value is at most that.
func (h Histogram) Quantile(q float64) time.Duration {
	for i, n := range h.Counts {
		if n >= q*h.Count() && !math.IsInf(h.Bounds[i], 1) {
			return time.Duration(h.Bounds[i] * float64(time.Second))
		}
	}
	return time.Duration(math.MaxInt64)
}

// PeakBytes is the most memory that the process ever had resident (VmHWM).
func (p *Process) PeakBytes() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the system does not say how much memory a process had")
}
