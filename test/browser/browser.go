package browser

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed look.js
var look string

// Scheme is the viewer's preference.
type Scheme string

// The preferences.
const (
	Light Scheme = "light"
	Dark  Scheme = "dark"
)

// The widths that pages are made for, in pixels.
const (
	Desk      = 1280
	Telephone = 390
)

// Browser is one tab.
type Browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// Start starts a browser that ends with the test, or skips the test.
func Start(t *testing.T) *Browser {
	t.Helper()
	b := &Browser{t: t}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(find(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	var closeTab context.CancelFunc
	b.ctx, closeTab = chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.complain(e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.complain(fmt.Sprintf("console.%s", e.Type))
		case *log.EventEntryAdded:
			b.complain(e.Entry.Text)
		}
	}))
	t.Cleanup(func() { closeTab(); stop() })
	return b
}

func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium is installed: pages are not looked at")
	return ""
}

func (b *Browser) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

// Complaints are the errors and messages of the console so far.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.complaints...)
}

func (b *Browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// Open opens an address in a window of a width.
func (b *Browser) Open(address string, width int, scheme Scheme) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: string(scheme)}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(int64(width), 900), chromedp.Navigate(address))
}

// Focus gives the first element that a CSS selector finds the focus.
func (b *Browser) Focus(selector string) {
	b.t.Helper()
	b.do(chromedp.Focus(chromedp.CSS(selector)))
}

// Press presses a key of package kb.
func (b *Browser) Press(key string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(key))
}

// Eval is the value of a JavaScript expression in the open page.
func Eval[T any](b *Browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// Seen is what an open page looks like.
type Seen struct {
	Charts int `json:"charts"`
	// Paper is the background's colour.
	Paper string `json:"paper"`

	Overflow float64  `json:"overflow"` // pixels that the page is wider than the window
	Flat     []string `json:"flat"`     // charts without size and lines without length
	Nameless []string `json:"nameless"` // charts that do not say what they are
	Small    []string `json:"small"`    // texts below 11 px
	Faint    []string `json:"faint"`    // texts with less contrast to the paper than 4.5 to 1
	Loaded   []string `json:"loaded"`   // what was fetched besides the page
}

// Look measures the open page.
func (b *Browser) Look() Seen {
	b.t.Helper()
	return Eval[Seen](b, look)
}

// Faults are what no page of the project may have, a sentence each.
func (s *Seen) Faults() (all []string) {
	if s.Overflow > 0 {
		all = append(all, fmt.Sprintf("the page is %v px wider than the window", s.Overflow))
	}
	for _, f := range []struct {
		what string
		list []string
	}{{"no size", s.Flat}, {"no title or description", s.Nameless}, {"too small to read", s.Small}, {"too faint to read", s.Faint}, {"loaded from elsewhere", s.Loaded}} {
		if len(f.list) > 0 {
			all = append(all, f.what+": "+strings.Join(f.list, "; "))
		}
	}
	return all
}

// Keep writes what is seen to a file in the folder that PDAUTOSCALER_SHOTS names, for people to look at; without it nothing.
func (b *Browser) Keep(name string) {
	b.t.Helper()
	dir := os.Getenv("PDAUTOSCALER_SHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
