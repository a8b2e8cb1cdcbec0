"""`python -m benchmarks.guessing PORT SECONDS CLIENTS ADDRESSES`: password guessers, in a process
of their own. Each tries another account each time, which is what makes the server hash most.

Prints what they were answered, and the CPU this process took.
"""

import json
import sys
import time
from itertools import count

from benchmarks.load import Client, closed_loop, post

LOGIN = "/api/v1/auth/login"


def guesser(number: int, addresses: int) -> Client:
    tries = count()

    def ask() -> bytes:
        email = f"victim{next(tries)}.{number}@tenant0.test"
        return post(LOGIN, {"email": email, "password": "a guess among very many"})

    return Client(ask, source=f"127.1.{number % addresses}.1")


def main(port: int, seconds: float, clients: int, addresses: int) -> None:
    guessers = [guesser(number, addresses) for number in range(clients)]
    done = closed_loop(port, guessers, seconds=seconds)
    print(json.dumps({"statuses": done.statuses, "cpu_s": time.process_time()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
