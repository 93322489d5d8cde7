from .resource import Resource
class App(Resource): pass
