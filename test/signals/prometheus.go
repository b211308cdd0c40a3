package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

// BinaryVariable names the Prometheus to run, where it is not in PATH.
const BinaryVariable = "PDAUTOSCALER_PROMETHEUS"

// ErrNoPrometheus says that there is no Prometheus on this machine.
var ErrNoPrometheus = errors.New("no prometheus in PATH: install the package prometheus (Debian), or set " + BinaryVariable)

// Prometheus is a running server.
type Prometheus struct {
	URL     string
	command *exec.Cmd
	dir     string
	log     *os.File
	options Options
	port    *ports.Held
}

// Binary finds the Prometheus to run.
func Binary() (string, error) {
	if named := os.Getenv(BinaryVariable); named != "" {
		return named, nil
	}
	found, err := exec.LookPath("prometheus")
	if err != nil {
		return "", ErrNoPrometheus
	}
	return found, nil
}

// Options say how a server runs.
type Options struct {
	// Config is its scrape configuration, Flags what more it is started with.
	Config string
	Flags  []string
	// HTTPS, User, Password and Client are how it is asked whether it is ready.
	HTTPS          bool
	User, Password string
	Client         *http.Client
}

// StartPrometheus runs a server with the given scrape configuration on a free
// loopback port until Stop.
func StartPrometheus(ctx context.Context, config string, flags ...string) (*Prometheus, error) {
	return Start(ctx, Options{Config: config, Flags: flags})
}

// Start runs a server on a free loopback port until Stop.
func Start(ctx context.Context, o Options) (*Prometheus, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	p := &Prometheus{options: o}
	if p.dir, err = os.MkdirTemp("", "pdautoscaler-prometheus-"); err != nil {
		return nil, err
	}
	file := filepath.Join(p.dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	if p.port, err = ports.Hold(1); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	address := p.port.Address(0)
	if p.log, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	p.URL = "http://" + address
	if o.HTTPS {
		p.URL = "https://" + address
	}
	p.command = exec.Command(binary, append([]string{
		"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(p.dir, "data"), "--web.listen-address=" + address,
	}, o.Flags...)...)
	p.command.Stdout, p.command.Stderr = p.log, p.log
	if err := p.command.Start(); err != nil {
		p.command = nil
		return nil, errors.Join(err, p.Stop())
	}
	if err := p.waitReady(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// waitReady returns when the server answers, or says what it logged.
func (p *Prometheus) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/-/ready", nil)
		if err != nil {
			return err
		}
		if p.options.User != "" {
			req.SetBasicAuth(p.options.User, p.options.Password)
		}
		if resp, err := p.options.Client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("prometheus is not ready after 30 s: %s", p.logged())
		case <-again.C:
		}
	}
}

// Scraped returns how many targets the server has read since a time, and when
// it read the one of them that it read the longest ago.
func (p *Prometheus) Scraped(ctx context.Context, since time.Time) (n int, oldest time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/api/v1/query?query="+url.QueryEscape("timestamp(up == 1)"), nil)
	if err != nil {
		return 0, oldest, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, oldest, err
	}
	defer resp.Body.Close()
	var got struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return 0, oldest, fmt.Errorf("prometheus says nothing of its scrapes: %w", err)
	}
	for _, r := range got.Data.Result {
		text, _ := r.Value[1].(string)
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, oldest, err
		}
		if at := time.UnixMilli(int64(seconds * 1000)); at.After(since) {
			n++
			if oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
	}
	return n, oldest, nil
}

// logged is the end of what the server wrote.
func (p *Prometheus) logged() string {
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}

// Stop ends the server and removes what it wrote. It may be called once.
func (p *Prometheus) Stop() error {
	if p.command != nil {
		_ = p.command.Process.Kill() // nothing of it is kept
		_ = p.command.Wait()
	}
	if p.log != nil {
		p.log.Close()
	}
	if p.port != nil {
		p.port.Close()
	}
	return os.RemoveAll(p.dir)
}
