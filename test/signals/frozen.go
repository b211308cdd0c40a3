package signals

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Frozen serves the pages of pods as they were at the last Thaw.
type Frozen struct {
	mu    sync.Mutex
	pages []*frozenPage
}

// frozenPage is one page on a loopback address of its own.
type frozenPage struct {
	from   string
	server *http.Server

	mu   sync.Mutex
	body []byte
	kind string
	err  error
}

// Add serves the page at a URL under another address, and returns that.
func (f *Frozen) Add(from string) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	p := &frozenPage{from: from, err: fmt.Errorf("%s was not read yet", from)}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = p.server.Serve(listener) }() // ends with Close
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages = append(f.pages, p)
	return "http://" + listener.Addr().String() + "/metrics", nil
}

// Thaw reads all pages anew.
func (f *Frozen) Thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range f.pages {
		all.Go(p.read)
	}
	all.Wait()
}

// Close ends all servers.
func (f *Frozen) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pages {
		_ = p.server.Close()
	}
}

func (p *frozenPage) read() {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(p.from)
	var body []byte
	if err == nil {
		defer resp.Body.Close()
		if body, err = io.ReadAll(resp.Body); err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s answered %s", p.from, resp.Status)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = err; err == nil {
		p.body, p.kind = body, resp.Header.Get("Content-Type")
	}
}

// ServeHTTP serves the page as it was.
func (p *frozenPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		http.Error(w, p.err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", p.kind)
	_, _ = w.Write(p.body)
}
