"""A name for a run that was given none: easy to say, and to tell from the next."""

import re
import secrets

_HOW = re.findall(
    r"\w+",
    "able bold brave bright brisk calm clever clear curious eager fair fleet fond gentle glad "
    "grand honest jolly keen kind lively loyal lucky merry mild neat nimble noble patient placid "
    "polite proud quick quiet rapid ready serene sharp silent sincere sleek smooth stately steady "
    "sunny sure swift tidy upbeat vivid warm wise witty zesty",
)
_WHO = re.findall(
    r"\w+",
    "badger bear beaver bison bittern crane cricket dolphin dove eagle egret elk falcon ferret "
    "finch fox gazelle gecko gull hare hawk heron ibex jay koala kestrel lark lemur lynx marten "
    "mole moose newt ocelot orca osprey otter owl panda perch puffin quail raven robin salmon "
    "seal sparrow stork swan tapir tern toad trout turtle viper vole walrus weasel wren yak zebra",
)


def a_name() -> str:
    return f"{secrets.choice(_HOW)}-{secrets.choice(_WHO)}-{secrets.randbelow(1000)}"
