package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// debugServer answers like the controller behind its authentication, on a certificate that nobody signed.
func debugServer(t *testing.T) *httptest.Server {
	t.Helper()
	one, err := os.ReadFile("testdata/situations/steady.json")
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile("testdata/situations/prefill-surge.json")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/decisions/default/{name}", func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer good":
		case "Bearer weak":
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		default:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		switch r.PathValue("name") {
		case "qwen3":
			if r.URL.Query().Get("last") == "1" {
				fmt.Fprintf(w, "[%s]", two)
				return
			}
			fmt.Fprintf(w, "[%s,%s]", one, two)
		case "idle":
			fmt.Fprint(w, "[\n]\n")
		case "newer":
			fmt.Fprint(w, `[{"version":99,"input":{},"decision":{},"more":1}]`)
		case "moved":
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		case "broken":
			http.Error(w, "the records cannot be written as JSON", http.StatusInternalServerError)
		default:
			http.Error(w, "another replica of the controller is the leader", http.StatusNotFound)
		}
	})
	server := httptest.NewTLSServer(mux)
	server.Config.ErrorLog = quietLog
	t.Cleanup(server.Close)
	return server
}

func TestSnapshotSavesWhatExplainReads(t *testing.T) {
	server := debugServer(t)
	config := kubeconfig(t, "https://127.0.0.1:1", "good")
	file := filepath.Join(t.TempDir(), "last.json")
	stdout, stderr, code := pdctl(t, "", "snapshot", "qwen3", "--kubeconfig", config, "--url", server.URL, "--insecure", "-o", file)
	if code != exitDone || stdout != "" || !strings.Contains(stderr, "saved in "+file) {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	explained, stderr, code := pdctl(t, "", "explain", "--snapshot", file)
	if code != exitDone || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want, err := os.ReadFile("testdata/situations/prefill-surge.txt")
	if err != nil {
		t.Fatal(err)
	}
	if explained != string(want) {
		t.Errorf("the saved record is explained as\n%s", explained)
	}

	// Several, from standard output into standard input.
	stdout, _, code = pdctl(t, "", "snapshot", "qwen3", "--last", "2", "--kubeconfig", config, "--url", server.URL, "--insecure")
	if code != exitDone {
		t.Fatalf("exit code %d", code)
	}
	explained, stderr, code = pdctl(t, stdout, "explain", "--snapshot", "-", "--history")
	if code != exitDone || strings.Count(explained, "\n") != 3 || strings.Count(explained, "same") != 2 {
		t.Errorf("exit code %d, %s\n%s", code, stderr, explained)
	}
}

// The certificate is checked unless told otherwise, against the authority that is named.
func TestSnapshotChecksTheCertificate(t *testing.T) {
	server := debugServer(t)
	config := kubeconfig(t, "https://127.0.0.1:1", "good")
	_, stderr, code := pdctl(t, "", "snapshot", "qwen3", "--kubeconfig", config, "--url", server.URL)
	if code != exitCluster || !strings.Contains(stderr, "certificate") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pemOf(server.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code = pdctl(t, "", "snapshot", "qwen3", "--kubeconfig", config, "--url", server.URL, "--certificate-authority", authority)
	if code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestSnapshotSaysWhatIsWrong(t *testing.T) {
	server := debugServer(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("weak"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no name":         {nil, exitUsage, "give the NAME of one PDAutoscaler"},
		"two names":       {[]string{"a", "b"}, exitUsage, "give the NAME of one PDAutoscaler"},
		"not there":       {[]string{"nobody"}, exitCluster, "has no decision of PDAutoscaler default/nobody: another replica"},
		"no decision yet": {[]string{"idle"}, exitCluster, "has made no decision of PDAutoscaler default/idle since it started"},
		"a newer one":     {[]string{"newer"}, exitCluster, "has version 99 and this program reads version"},
		"a redirect":      {[]string{"moved"}, exitCluster, "302 Found"},
		"its own fault":   {[]string{"broken"}, exitCluster, "500 Internal Server Error: the records cannot be written as JSON"},
		"weak token":      {[]string{"qwen3", "--token-file", token}, exitCluster, "does not let you read /debug/decisions/default/qwen3"},
		"no token file":   {[]string{"qwen3", "--token-file", token + ".gone"}, exitUsage, "--token-file"},
		"zero records":    {[]string{"qwen3", "--last", "0"}, exitUsage, "--last is 0: allowed is 1 or more"},
		"plain http":      {[]string{"qwen3", "--url", "http://controller.example:8080"}, exitUsage, "plain http to this machine only"},
		"no url":          {[]string{"qwen3", "--url", "localhost:8443"}, exitUsage, "allowed is such as https://localhost:8443"},
		"nobody there":    {[]string{"qwen3", "--url", closed.URL}, exitCluster, "could not be asked: dial tcp"},
		"not to be saved": {[]string{"qwen3", "-o", "/nonexistent/last.json"}, exitUsage, "/nonexistent/last.json"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"snapshot", "--kubeconfig", kubeconfig(t, "https://127.0.0.1:1", "good"), "--url", server.URL, "--insecure"}, c.args...)
			stdout, stderr, code := pdctl(t, "", args...)
			if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, stdout %q, stderr %q; it should end with %d and say %q", code, stdout, stderr, c.code, c.want)
			}
		})
	}
}

// Without --url the API server's proxy is asked, which takes the token off.
func TestSnapshotThroughTheProxy(t *testing.T) {
	record, err := os.ReadFile("testdata/situations/steady.json")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/namespaces/scaling/services/https:pda:8443/proxy/debug/decisions/default/qwen3":
			fmt.Fprintf(w, "[%s]", record)
		default:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	config := kubeconfig(t, server.URL, "good")
	stdout, stderr, code := pdctl(t, "", "snapshot", "qwen3", "--kubeconfig", config, "--service", "scaling/https:pda:8443")
	if code != exitDone || !strings.Contains(stdout, `"version": `+strconv.Itoa(planner.RecordVersion)) {
		t.Errorf("exit code %d: %s\n%s", code, stderr, stdout)
	}
	_, stderr, code = pdctl(t, "", "snapshot", "qwen3", "--kubeconfig", config)
	if code != exitCluster || !strings.Contains(stderr, "that proxy passes no token on, so try --url and a port-forward") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, wrong := range []string{"pda:8443", "scaling/pda", "scaling/ftp:pda:8443", "scaling/:8443", "/pda:8443"} {
		if _, stderr, code := pdctl(t, "", "snapshot", "qwen3", "--kubeconfig", config, "--service", wrong); code != exitUsage || !strings.Contains(stderr, "allowed is NAMESPACE/[https:]NAME:PORT") {
			t.Errorf("--service %s: exit code %d: %s", wrong, code, stderr)
		}
	}
	if _, stderr, code := pdctl(t, "", "snapshot", "qwen3", "--kubeconfig", config, "--insecure"); code != exitUsage || !strings.Contains(stderr, "are about --url") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
