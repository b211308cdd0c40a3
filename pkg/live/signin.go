package live

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/page"
)

// Paths and names of signing in. The cookie is the token itself: nothing is kept here, and who has the token has the rights.
const (
	signInPath  = Path + "sign-in"
	signOutPath = Path + "sign-out"
	tokenCookie = "pdautoscaler-token"
	// maxToken is what browsers keep in a cookie.
	maxToken = 3800
)

var signInBody = template.Must(template.New("sign-in").Parse(`<header id="head">
<h1>Sign in</h1>
<p class="lead">{{.Why}}</p>
</header>
<form id="sign-in" method="post" action="{{.Path}}">
<input name="to" type="hidden" value="{{.To}}"/>
<label for="token">A bearer token of the cluster</label>
<input id="token" name="token" type="password" required autocomplete="off" spellcheck="false"/>
<button type="submit">Sign in</button>
<p class="note">Such as that of <code>kubectl create token NAME</code>. Its owner must be allowed to get the path {{.Pages}}* (ClusterRole
pdautoscaler-page-reader). It stays in this browser until it is closed and is sent to this server only.</p>
</form>
`))

// SignIn lets browsers in: they do not send a bearer token by themselves, so it is asked for once and kept in a cookie that no
// script and no other site can use. Guarded is the pages behind a check of the Authorization header; where it refuses, a
// browser gets a form instead, and anything else the refusal.
func SignIn(guarded http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+signInPath, func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, 4*maxToken)
		token := strings.TrimSpace(r.PostFormValue("token"))
		if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' || c == ';' || c == ',' || c == '"' || c == '\\' }) {
			askForToken(w, "This is no bearer token: it is one word of letters, digits and punctuation.", r.PostFormValue("to"))
			return
		}
		http.SetCookie(w, cookie(token, 0))
		http.Redirect(w, r, pagePath(r.PostFormValue("to")), http.StatusSeeOther)
	})
	mux.HandleFunc("POST "+signOutPath, func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		http.SetCookie(w, cookie("", -1))
		http.Redirect(w, r, Path, http.StatusSeeOther)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie(tokenCookie); err == nil && r.Header.Get("Authorization") == "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+c.Value)
		}
		guarded.ServeHTTP(&refusals{ResponseWriter: w, request: r}, r)
	})
	// Another site can make a browser post here, but not sign it in or out.
	return http.NewCrossOriginProtection().Handler(mux)
}

// pagePath is the page that was asked for before the token was, or the first one: a role may allow the page of one namespace only.
func pagePath(asked string) string {
	if u, err := url.Parse(asked); err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, Path) || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") ||
		u.Path == signInPath || u.Path == signOutPath {
		return Path
	}
	return asked
}

func cookie(token string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: tokenCookie, Value: token, Path: Path, MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// refusals turns a refusal of the check into a form, for browsers.
type refusals struct {
	http.ResponseWriter
	request *http.Request
	turned  bool
}

// WriteHeader begins the answer. The pages themselves never answer with these codes, but for 500, which the check gives for a
// token that the API server does not know.
func (w *refusals) WriteHeader(code int) {
	why := ""
	switch code {
	case http.StatusUnauthorized:
		why = "These pages are for those whom the cluster knows."
	case http.StatusForbidden:
		why = "The cluster knows you, and you may not see this page: whoever runs it can give you the ClusterRole pdautoscaler-page-reader."
	case http.StatusInternalServerError:
		if w.request.Header.Get("Authorization") != "" {
			why = "The cluster does not know this token, or does not answer: it may have expired."
		}
	}
	if why == "" || !strings.Contains(w.request.Header.Get("Accept"), "text/html") || w.request.URL.Query().Has("part") {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	w.turned = true
	secure(w.Header())
	askForToken(w.ResponseWriter, why, w.request.URL.RequestURI())
}

// Write is the check's own words where it refused; the form has said them already.
func (w *refusals) Write(p []byte) (int, error) {
	if w.turned {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

func askForToken(w http.ResponseWriter, why, asked string) {
	var b bytes.Buffer
	if err := signInBody.Execute(&b, struct{ Why, Path, Pages, To string }{why, signInPath, Path, pagePath(asked)}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Del("Content-Length")
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	doc := page.Document{Title: "Sign in", Body: template.HTML(b.String())}
	_ = doc.Write(w)
}
