"""What certificates are called: ``tyrannosaurus-12345``, as Heroku's."""

import secrets

_ANIMALS = """
allosaurus ankylosaurus apatosaurus archaeopteryx baryonyx brachiosaurus camarasaurus carnotaurus compsognathus
corythosaurus deinonychus dilophosaurus diplodocus gallimimus giganotosaurus hadrosaurus iguanodon kentrosaurus
maiasaura megalosaurus microraptor oviraptor pachycephalosaurus parasaurolophus plateosaurus protoceratops spinosaurus
stegosaurus styracosaurus therizinosaurus triceratops troodon tyrannosaurus utahraptor velociraptor
"""


def generate() -> str:
    """A name for a new one."""
    return f"{secrets.choice(_ANIMALS.split())}-{secrets.randbelow(90_000) + 10_000}"
