package live

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// guard is a check as the API server's filter does it.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "":
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case "Bearer reader":
			next.ServeHTTP(w, r)
		case "Bearer stranger":
			http.Error(w, "Authorization denied for user stranger", http.StatusForbidden)
		default:
			http.Error(w, "Authentication failed", http.StatusInternalServerError)
		}
	})
}

func TestSignIn(t *testing.T) {
	h := SignIn(guard(NewBoard().Handler(Options{SignedIn: true})))
	html := http.Header{"Accept": {"text/html"}}
	with := func(h http.Header, cookie string) http.Header {
		h = h.Clone()
		h.Set("Cookie", tokenCookie+"="+cookie)
		return h
	}
	for _, c := range []struct {
		name   string
		header http.Header
		path   string
		code   int
		says   string
	}{
		{"a browser nobody knows gets the form", html, "/page/", 401, `name="token" type="password"`},
		{"a program nobody knows gets the refusal", nil, "/page/", 401, "Unauthorized"},
		{"a page that asks for news gets the refusal", html, "/page/?part=body", 401, "Unauthorized"},
		{"a token as a program sends it", http.Header{"Authorization": {"Bearer reader"}}, "/page/", 200, "Sign out"},
		{"a token that was kept", with(html, "reader"), "/page/", 200, "Sign out"},
		{"a token without the right", with(html, "stranger"), "/page/", 401, "you may not see this page"},
		{"a token that has expired", with(html, "old"), "/page/", 401, "it may have expired"},
		{"a program's own token comes first", func() http.Header { h := with(html, "reader"); h.Set("Authorization", "Bearer stranger"); return h }(), "/page/", 401, "you may not see this page"},
		{"what is not there", with(html, "reader"), "/page/a/b", 404, "no PDAutoscaler a/b"},
	} {
		r := get(t, h, "GET", c.path, c.header)
		if body := r.Body.String(); r.Code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d, want %d and %q in\n%s", c.name, r.Code, c.code, c.says, body)
		}
	}
}

// TestSignInLeadsBack: whoever may see one namespace's pages only has no use for the first page, and nobody is led elsewhere.
func TestSignInLeadsBack(t *testing.T) {
	h := SignIn(guard(NewBoard().Handler(Options{SignedIn: true})))
	if form := get(t, h, "GET", "/page/team/qwen?theme=dark", http.Header{"Accept": {"text/html"}}).Body.String(); !strings.Contains(form, `name="to" type="hidden" value="/page/team/qwen?theme=dark"`) {
		t.Errorf("the form does not keep the page that was asked for:\n%s", form)
	}
	for to, want := range map[string]string{
		"/page/team/qwen": "/page/team/qwen", "/page/team/qwen?theme=dark": "/page/team/qwen?theme=dark", "/page/": Path, "": Path,
		"https://elsewhere.example/page/": Path, "//elsewhere.example/page/": Path, "/metrics": Path, "/page/../metrics": Path, "/page//elsewhere.example": Path, "\\elsewhere.example": Path, signOutPath: Path, "%zz": Path,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "https://page.example"+signInPath, strings.NewReader(url.Values{"token": {"reader"}, "to": {to}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("asked for %q: %d to %q, want %q", to, w.Code, w.Header().Get("Location"), want)
		}
	}
}

func TestTokenIsKeptForThisServerOnly(t *testing.T) {
	h := SignIn(guard(NewBoard().Handler(Options{SignedIn: true})))
	post := func(path, token string, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "https://page.example"+path, strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Header = header.Clone()
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	own := http.Header{"Sec-Fetch-Site": {"same-origin"}}
	r := post(signInPath, " eyJ.abc-_ \n", own)
	if c, err := http.ParseSetCookie(r.Header().Get("Set-Cookie")); r.Code != http.StatusSeeOther || err != nil {
		t.Fatalf("signing in is answered with %d and %v", r.Code, r.Header())
	} else if c.Value != "eyJ.abc-_" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != Path {
		t.Errorf("the cookie is %+v", c)
	}
	if c, err := http.ParseSetCookie(post(signOutPath, "", own).Header().Get("Set-Cookie")); err != nil || c.MaxAge >= 0 {
		t.Errorf("signing out leaves %v (%v)", c, err)
	}
	for name, token := range map[string]string{"empty": "", "two words": "a b", "a header": "a\r\nSet-Cookie: x=y", "two cookies": "a;b", "endless": strings.Repeat("x", 5000)} {
		if r := post(signInPath, token, own); r.Code != http.StatusUnauthorized || r.Header().Get("Set-Cookie") != "" || !strings.Contains(r.Body.String(), "This is no bearer token") {
			t.Errorf("%s: the answer is %d", name, r.Code)
		}
	}
	for _, path := range []string{signInPath, signOutPath} {
		if r := post(path, "reader", http.Header{"Sec-Fetch-Site": {"cross-site"}}); r.Code != http.StatusForbidden || r.Header().Get("Set-Cookie") != "" {
			t.Errorf("another site can post to %s: %d", path, r.Code)
		}
	}
}
