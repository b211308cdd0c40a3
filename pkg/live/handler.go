package live

import (
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/page"
)

// Path is where the pages are: Path itself is that of all PDAutoscalers, Path + NAMESPACE/NAME that of one.
const Path = "/page/"

// Options say how pages are served.
type Options struct {
	// Nobody says why there is nothing to show; it is asked only then.
	Nobody func() string
	// SignedIn is set where people come in by a token of theirs and may go again.
	SignedIn bool
}

// Handler serves the pages. It answers GET and HEAD only, and checks nobody's identity: where that is to be checked it is
// to be wrapped. With ?part=body a page is given without the document around it, for itself to be brought up to date.
func (b *Board) Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, Path, http.StatusFound) })
	mux.HandleFunc("GET "+Path+"{$}", func(w http.ResponseWriter, r *http.Request) {
		nobody := "No PDAutoscaler was looked at yet."
		all := b.all()
		if len(all) == 0 && o.Nobody != nil {
			nobody = o.Nobody()
		}
		body, err := overview(all, Path, nobody)
		o.answer(w, r, "PDAutoscalers", body, newest(all), err)
	})
	mux.HandleFunc("GET "+Path+"{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		namespace, name := r.PathValue("namespace"), r.PathValue("name")
		v, found := b.one(namespace, name)
		if !found {
			secure(w.Header())
			http.Error(w, "no PDAutoscaler "+namespace+"/"+name+" is looked at here: it does not exist, or another replica of the controller is the leader", http.StatusNotFound)
			return
		}
		body, err := v.body(Path)
		o.answer(w, r, namespace+"/"+name, body, v.At, err)
	})
	return mux
}

// every is how often a page asks for what has changed.
const every = 5 * time.Second

func (o Options) answer(w http.ResponseWriter, r *http.Request, title string, body template.HTML, at time.Time, err error) {
	h := w.Header()
	secure(h)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if !at.IsZero() {
		h.Set("X-As-Of", at.UTC().Format(time.TimeOnly))
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	// An error of a write means that the browser has gone.
	if r.URL.Query().Get("part") == "body" {
		_, _ = w.Write([]byte(body))
		return
	}
	doc := page.Document{Title: title, Body: body, Live: &page.Live{Every: every, AsOf: at.UTC().Format(time.TimeOnly)}}
	if at.IsZero() {
		doc.Live.AsOf = ""
	}
	if o.SignedIn {
		doc.Live.SignOut = signOutPath
	}
	_ = doc.Write(w)
}

// secure keeps a page from being framed, cached, sniffed or told about, and lets it load nothing.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", strings.Join([]string{page.Policy(true), "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"}, "; "))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
