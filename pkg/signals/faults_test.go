package signals

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/signals-faults.md anew")

// faults are what readers of these metrics were seen to do wrong, and what the
// sources are known to do to them, each with the tests that hold it off. The numbers F… are
// those of a list of other autoscalers' faults, of which those are here that are about signals.
// A test of another package is named with its folder. docs/signals-faults.md is made from this.
var faults = []struct {
	group  string
	faults []fault
}{
	{"Seen in other autoscalers", []fault{
		{"F1", "a failed or empty query is read as zero demand", "TestF1FailureIsNotZeroDemand TestF1PrometheusOutageIsNotZero pkg/planner.TestF1FailedQueryIsNotZeroDemand pkg/metricsapi.TestUnknown"},
		{"F2", "idle gives NaN and never scales down", "TestF2IdleIsAConfirmedZero TestF2IdleThroughPrometheusIsAConfirmedZero TestEmptyEnginesAreConfirmed pkg/planner.TestF2IdleScalesDown"},
		{"F3", "a request counts twice because prefill and decode export it", "TestF3RequestsAreCountedOnce TestEveryEngineReadsTheSame TestQueueIsNotAddedToTheEngines"},
		{"F4", "latencies are averaged over series, or a mean stands for a percentile", "TestF4QuantilesAreOfRequestsNotOfPods TestQuantileBoundsHoldTheTruth"},
		{"F5", "demand is multiplied by a latency that queueing makes", "pkg/planner.TestF5QueueingLatencyDoesNotMultiplyDemand"},
		{"F12", "one pod or role without metrics hides the others", "TestF12OnePodWithoutMetrics TestOneQueryThatHangsBlocksNoOther pkg/planner.TestF12OneRoleWithoutDataLeavesTheOther"},
		{"F15", "the mean and the total of a metric are mixed up", "TestF15TotalsAreSumsAndSharesAreMeans"},
		{"F21", "decode's lack of room is read as prefill's queue", "TestQueuesOfDisaggregatedSGLang TestPrefillWaitingInEnginesAndRouter TestShortQueueWhileDecodeIsFull pkg/planner.TestF21QueueThatDecodeCausesDoesNotGrowPrefill"},
		{"F22", "prefill has no demand of its own", "TestQueueAsWork TestDemandOfPrefillPodsAndQueue pkg/planner.TestF22F23RolesScaleApart"},
		{"F25", "one role is judged by the other's latency", "TestF25EachRoleIsReadForItsOwn"},
		{"F26", "the ranks of one engine count as engines", "TestRanksOfOneEngineCountOnce TestSeveralEnginesInAPod"},
		{"F27", "names that no engine exports are asked for", "TestF27NamesThatAreNotExported TestF27SGLangNamesHoldAColon TestVocabulariesAreSound"},
		{"F28", "one deadline for all, one after the other", "TestF28PodsThatHangBlockNobody TestOneQueryThatHangsBlocksNoOther TestEtcdThatIsAway TestPodsThatFailedAreReadLast"},
		{"F32", "a service that turns requests away passes for one that keeps up", "TestRequestsTurnedAwayAreDemand TestFirstRequestTurnedAwayCounts TestRequestsTurnedAwayThatNobodyCounts"},
		{"F33", "a follower's or a stream's number is taken for the queue's depth", "TestF33QueueDepth TestF33EveryServerGivesTheLeadersDepth TestF33FollowersAreNotBelieved"},
	}},
	{"What prefill and decode as roles of their own do to the numbers", []fault{
		{"", "demand is what finishes, which falls when the service is stuck", "TestDemandIsWhatArrivesNotWhatIsFinished TestDemandPrefersStarted TestRouterTellsOfRequestsStarted"},
		{"", "a request that is dropped counts as two, or as none", "TestRequestDroppedFromTheQueueCountsOnce TestDemandIsNeverNegative"},
		{"", "the mean over pods hides the fullest", "TestKVUseIsMeanAndFullest"},
		{"", "tokens from the prefix cache are taken off decode as well, or off nothing", "TestCachedShare TestQueueAsWork pkg/capacity.TestChunksAndTiersAreWorkOfPrefill"},
		{"", "with speculative decoding a step is not a token", "TestSpeculativeDecoding"},
		{"", "a name changed between versions", "TestDescribeSaysWhichSpellingMatched TestReportSaysWhichSpellingMatched TestGrowthDoesNotCrossNames TestLatencyDoesNotMixNames TestDynamoFrontendsOfBothGenerations"},
		{"", "counters come up only with their first event", "TestCountersThatComeUpLate TestDemandCountsTheFirstRequestOfANewSeries TestFirstRequestTurnedAwayCounts"},
		{"", "a pod that is new is taken for an idle one", "TestDemandWhileAPodIsNew TestDemandNeedsTwoSamples"},
		{"", "what a pod took before it went never arrived", "TestDemandOfAFrontendThatGoes"},
		{"", "the frontend writes the model's name in lower case", "TestDemandOfOneModel"},
		{"", "a gauge stands beside its own parts", "TestPartsAreNotAddedToTheirTotal"},
		{"", "a new pod has the name of an old one", "TestDemandTellsPodsByUID"},
	}},
	{"What Prometheus and its format do to them", []fault{
		{"", "the first bucket hides the value", "TestLatencyBelowTheFirstBucketIsABound"},
		{"", "the quantile lies above the last bound", "TestLatencyWithAnEndlessBound TestQuantile"},
		{"", "the objective lies inside one wide bucket", "TestQuantile pkg/planner.TestLatencyIsSurelyAboveItsObjective"},
		{"", "a rate is taken over a restart", "TestDemandOverARestart TestLatencyOverARestart TestPrometheusOverARestart TestBucketsMinusKnowsARestart"},
		{"", "resets are looked for in a sum, where other series hide them", "TestOneRestartAmongSeriesThatGrow"},
		{"", "a rate is extrapolated, or misses the first of a series", "TestGrowthNeverInventsRequests TestPrometheusGivesRatesAtOnce TestDemandCountsTheFirstRequestOfANewSeries"},
		{"", "a gap in a series is taken for traffic", "TestGapInASeriesIsNotTraffic"},
		{"", "the lookback shows a dead pod's gauge", "TestDeadPodsGaugeDoesNotStay test/signals.TestDeadPod"},
		{"", "200 with warnings or in part is taken for the whole", "TestWarningsAreNoReasonToScaleDown TestPartialZeroIsUnknown"},
		{"", "labels are renamed by the scrape configuration", "TestGPUsThroughPrometheusInAllSpellings TestActivityOfTheRolesGPUs TestPrometheusSaysWhatThePodsSay"},
		{"", "every series is there twice", "TestDuplicateSeriesCountOnce TestParseCountsEqualDuplicatesOnce TestDuplicateTargetsCountOnce"},
		{"", "an old sample passes for a new one", "TestReadingsAreAsOldAsThePageSays TestScrapesThatStop test/signals.TestPrometheusGoesAway"},
		{"", "scrapes come late", "TestLateScrapes"},
		{"", "clocks differ, or go back", "TestClockSkew TestClockGoesBack"},
		{"", "NaN, infinities and negative values", "TestValuesThatAreNoNumbers TestParseMarksSeriesThatCannotBeUsed"},
		{"", "a page is huge, cut off, or none", "TestPagesThatAreRefused TestParseRefusesPagesThatAreNone"},
		{"", "the cost grows with the pods, query by query", "TestQueriesAreConstantInPods"},
		{"", "credentials go to another host, or in the clear", "TestCredentialsStayWithTheirHost TestNoProxyIsUsed TestTokenOfPagesStaysBehindTLS pkg/controller.TestCredentialsThatAreRefused"},
	}},
	{"What the prefill queue does", []fault{
		{"", "messages expire, and the empty queue passes for work done", "TestMessagesThatExpire TestMessagesThatAreLostAmongOthers"},
		{"", "the leader of the queue changes", "TestLeaderStepsDownWhileTheQueueIsRead"},
		{"", "the queue is not there yet, is made anew, or has another name", "TestServerComesLate TestConsumerMadeAnew TestQueueOfAnotherVersionIsDetected"},
		{"", "what is delivered and not acknowledged passes for waiting, or for all that runs", "TestF33QueueDepth"},
		{"", "a queue's length passes for its work", "TestQueueAsWork"},
	}},
	{"What GPUs and workers show", []fault{
		{"", "utilisation or allocated memory passes for load", "TestGPUUtilisationAndMemoryAreNoLoad"},
		{"", "profiling fields are missing", "TestGPUsWithoutProfilingFields TestActivityThatIsNotThere pkg/controller.TestConditionOfTheGPUsActivity cmd/gpu-agent.TestProfilingRefused"},
		{"", "one field that is refused takes the others with it", "cmd/gpu-agent.TestDeviceAndProfilingFieldsAreWatchedApart"},
		{"", "blank values of DCGM reach arithmetic", "TestActivityOfTheRolesGPUs cmd/gpu-agent.TestBlankAndStaleValues"},
		{"", "the last value is served for ever", "cmd/gpu-agent.TestBlankAndStaleValues cmd/gpu-agent.TestHostEngineLostInTheMiddle"},
		{"", "a GPU counts for the pod that had it, or twice", "TestGPUThatChangedHands TestActivityCountsEachGPUOnce"},
		{"", "registrations outlive their workers", "test/signals.TestRegisteredWorkers"},
	}},
	{"What HPA and KEDA do with what they are told", []fault{
		{"", "the default tolerance swallows one replica of eleven", "pkg/metricsapi.TestHPAFollowsThePlan"},
		{"", "unknown becomes zero, NaN or a negative", "pkg/metricsapi.TestHPAHoldsOnUnknown pkg/metricsapi.TestKEDAUnknown pkg/metricsapi.TestAnswersAreSafe"},
		{"", "series that match are summed", "pkg/metricsapi.TestPick"},
		{"", "KEDA takes no answer for zero", "pkg/metricsapi.TestKEDASample pkg/metricsapi.TestKEDAUnknown"},
	}},
}

// fault is one of them. tests are separated by spaces.
type fault struct{ id, what, tests string }

// Each of them has its tests.
func TestEveryKnownFaultHasATest(t *testing.T) {
	known := map[string]map[string]bool{}
	for _, g := range faults {
		for _, f := range g.faults {
			if f.tests == "" {
				t.Errorf("nothing holds off: %s", f.what)
			}
			for name := range strings.FieldsSeq(f.tests) {
				folder, test := split(name)
				if known[folder] == nil {
					known[folder] = testsOf(t, filepath.Join("../..", folder))
				}
				if !known[folder][test] {
					t.Errorf("there is no %s in %s, which was to hold off: %s", test, folder, f.what)
				}
			}
		}
	}
}

// split tells the folder of a test from its name.
func split(name string) (folder, test string) {
	if i := strings.LastIndex(name, "."); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "pkg/signals", name
}

// testsOf are the names of the tests of a folder.
func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", folder, files, err)
	}
	known := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				known[f.Name.Name] = true
			}
		}
	}
	return known
}

const faultsHead = `# Signals: known faults, and what holds them off

<!-- Written from the list in pkg/signals/faults_test.go: go test ./pkg/signals -run Fault -update. -->

What readers of these metrics were seen to do wrong, and what engines, Prometheus, NATS and DCGM are known to do to them. Each has
tests that fail if it comes back: of [pkg/signals](../pkg/signals), where no other folder is named. The numbers F… are those that the
planner's tests use too.
`

// The list is a page for people, too.
func TestFaultsPageIsCurrent(t *testing.T) {
	const path = "../../docs/signals-faults.md"
	var page strings.Builder
	page.WriteString(faultsHead)
	for _, g := range faults {
		fmt.Fprintf(&page, "\n## %s\n\n| | fault | tests |\n|---|---|---|\n", g.group)
		for _, f := range g.faults {
			var tests []string
			for name := range strings.FieldsSeq(f.tests) {
				tests = append(tests, "`"+strings.TrimPrefix(name, "pkg/")+"`")
			}
			fmt.Fprintf(&page, "| %s | %s | %s |\n", f.id, f.what, strings.Join(tests, ", "))
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page.String(), string(written)); diff != "" {
		t.Errorf("docs/signals-faults.md is not the list of faults_test.go: go test ./pkg/signals -run Fault -update\n%s", diff)
	}
}
