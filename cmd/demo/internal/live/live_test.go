package live

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

func frame() Frame {
	return Frame{
		Title: "The demo", At: 83 * time.Second, Length: 4 * time.Minute,
		Acts: []string{"quiet", "long prompts", "long answers"}, Act: 1, WarmUp: true,
		Load: Load{RequestsPerSecond: 11, InputTokens: 4000, OutputTokens: 350, Queued: 7},
		Roles: [2]Role{
			{Name: "prefill", Ready: 3, Starting: 1, Desired: 4, GPUs: 8, LoadPercent: 72},
			{Name: "decode", Ready: 1, Terminating: 1, Desired: 1, GPUs: 4, LoadPercent: -1},
		},
		GPUs: GPUs{Held: 12, Budget: 12, Peak: 12},
		TTFT: Latency{Ms: 1234, Known: true, ObjectiveMs: 2000, Percentile: 95},
		TPOT: Latency{ObjectiveMs: 25, Percentile: 95},
		News: []string{" 1:21  prefill 3 → 4: because"},
	}
}

func TestDrawPlain(t *testing.T) {
	got := Draw(frame(), 110, true)
	want := []string{
		" The demo",
		"",
		" 1:23 / 4:00   quiet ─ ▶ long prompts (warm-up) ─ long answers",
		" load       11.0 requests/s of 4000 tokens in, 350 out; 7 in the prefill queue",
		"",
		" prefill    ●●●◐          3 of 4        ██████████████████████░░░░░░░░ load 72 %",
		" decode     ●○            1 of 1        load unknown",
		" GPUs       ■■■■■■■■■■■■  12 of 12      most so far 12",
		"            ● ready  ◐ starting  ○ terminating: each of them holds its GPUs",
		"",
		" TTFT p95   1.23 s        of 2.00 s     ███████████████████░░░░░░░░░░░ 62 %",
		" TPOT p95   no request in the last 10 s",
		"",
		" move       none",
		" decisions   1:21  prefill 3 → 4: because",
		"", "", "", "", "", "", "",
	}
	for i := range got {
		got[i] = strings.TrimRight(got[i], " ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("drawing (-want +got):\n%s", diff)
	}
}

func TestLatestNewsAreWhole(t *testing.T) {
	long := " 1:09  prefill goes up from 3 to 4: 10.1 requests/s of 4098 prompt tokens need 4 replicas"
	got := latest([]string{"forgotten", long, long, long, " 1:11  short"}, 60)
	wrapped := []string{" 1:09  prefill goes up from 3 to 4: 10.1 requests/s of 4098", "       prompt tokens need 4 replicas"}
	want := slices.Concat(wrapped, wrapped, wrapped, []string{" 1:11  short"})
	if diff := cmp.Diff(append([]string{"forgotten"}, want...), got); diff != "" {
		t.Errorf("news (-want +got):\n%s", diff)
	}
	got = latest([]string{long, long, long, long, " 1:11  short"}, 60)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("half a piece is shown where there is no room for all of it (-want +got):\n%s", diff)
	}
}

func TestLine(t *testing.T) {
	got := Line(frame())
	want := " 1:23  long prompts (warm-up)     11.0 req/s  prefill 3+1 starting (load 72 %)  decode 1-1 ending  GPUs 12/12  TTFT p95 1.23 s"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// No line is ever wider than the terminal, which would break the redrawing, and the number of lines does not depend on what
// is shown.
func TestDrawFits(t *testing.T) {
	lines := len(Draw(frame(), 100, false))
	rapid.Check(t, func(t *rapid.T) {
		f := frame()
		n := rapid.IntRange(0, 200)
		for i := range f.Roles {
			f.Roles[i] = Role{Name: "prefill", Ready: n.Draw(t, "ready"), Starting: n.Draw(t, "starting"), Terminating: n.Draw(t, "terminating"),
				Desired: n.Draw(t, "desired"), GPUs: n.Draw(t, "gpus"), LoadPercent: rapid.IntRange(-1, 100000).Draw(t, "load")}
		}
		f.GPUs = GPUs{Held: n.Draw(t, "held"), Budget: n.Draw(t, "budget"), Peak: n.Draw(t, "peak")}
		f.TPOT = Latency{Ms: rapid.Float64Range(0, 1e7).Draw(t, "tpot"), Known: true, ObjectiveMs: 25, Percentile: 95}
		f.Move = rapid.StringMatching(`[a-zé →%]{0,300}`).Draw(t, "move")
		f.News = rapid.SliceOf(rapid.StringMatching(`[a-zé →%]{0,300}`)).Draw(t, "news")
		width := rapid.IntRange(0, 250).Draw(t, "width")
		drawn := Draw(f, width, false)
		if len(drawn) != lines {
			t.Fatalf("%d lines, want %d", len(drawn), lines)
		}
		for _, l := range drawn {
			if w := utf8.RuneCountInString(ansi.ReplaceAllString(l, "")); w > max(width, minWidth) {
				t.Fatalf("a line is %d columns wide, there are %d: %q", w, width, l)
			}
		}
	})
}

func TestScreenRedrawsInPlace(t *testing.T) {
	var b bytes.Buffer
	s := NewScreen(&b)
	s.Draw([]string{"one", "two"})
	s.Draw([]string{"three"})
	s.Close()
	want := "\x1b[?25lone\x1b[K\ntwo\x1b[K\n\x1b[J" + "\x1b[2Fthree\x1b[K\n\x1b[J" + "\x1b[?25h"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}
