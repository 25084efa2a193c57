"""Tests the proxy with real SDKs, against its demo platform and a wild one.

    run.py BINARY

Needs requirements.txt installed and, where Node is there, package.json too, in target/node:

    cp tests/sdk/package.json target/node/ && npm install --prefix target/node

Exits 0 if all is well; else says what is not and exits 1.
"""

import json
import shutil
import signal
import subprocess
import sys
import unittest

import anthropic_tests
import openai_tests
import realtime_tests
import world

ALL_SECONDS_MAX = 180
LOG_LINES_SHOWN = 60


def run_program(test, *command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    test.assertEqual(0, done.returncode, done.stdout + done.stderr)


class Node(unittest.TestCase):
    """The SDK for Node, in a process of its own."""

    @unittest.skipUnless(shutil.which("node"), "Node is not there")
    def test_openai(self):
        facts = {
            "folder": str(world.NODE_FOLDER),
            "proxy": world.proxy_url,
            "platform": world.platform.url,
            "key": world.PLAIN,
            "dailyKey": world.NODE_DAILY,
        }
        run_program(self, "node", str(world.HERE / "openai.mjs"), json.dumps(facts))


class Afterwards(unittest.TestCase):
    """What is checked when all the traffic is over."""

    def test_metrics(self):
        run_program(self, sys.executable, str(world.HERE / "metrics_check.py"), world.proxy_url + "/metrics", world.ROOT)

    def test_no_secret_in_the_log(self):
        text = "".join(world.log)
        secrets = [client["key"] for client in world.CLIENTS]
        secrets += [key for name in [*world.WILD, "anthropic"] for key in world.platform_keys(name)]
        self.assertEqual([], [secret for secret in secrets if secret in text])


def too_long(_signal, _frame):
    raise TimeoutError(f"the tests take longer than {ALL_SECONDS_MAX} s")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(ALL_SECONDS_MAX)
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite()
    for module in [openai_tests, anthropic_tests, realtime_tests]:
        suite.addTests(loader.loadTestsFromModule(module))
    for tests in [Node, Afterwards]:
        suite.addTests(loader.loadTestsFromTestCase(tests))
    with world.running(sys.argv[1]):
        succeeded = unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()
    if not succeeded:
        print("".join(world.log[-LOG_LINES_SHOWN:]), file=sys.stderr)
    sys.exit(0 if succeeded else 1)


if __name__ == "__main__":
    main()
